"""A conversation in a pseudo terminal: words appear as they come, and Ctrl-C stops an answer and its thread."""

import os
import pty
import select
import signal
import sys
from pathlib import Path

CLIP = Path("tests/data/videos/asl_eat_portrait.mp4")

PROGRAM = """
import sys, threading
from pathlib import Path
from lightning_modules.cli import main
from video_panda.modeling import VideoPandaForConditionalGeneration as Model

record, *letters = sys.argv[1:4]
forward, steps = Model.forward, []

def one_letter_after_the_other(*args, **options):
    threading.Event().wait(0.005)  # all 3000 steps take 15 seconds and more, far longer than a stop
    output = forward(*args, **options)
    output.logits[..., int(letters[len(steps) % 2])] = output.logits.max() + 1
    steps.append(1)
    return output

Model.forward = one_letter_after_the_other
main(sys.argv[4:])
Path(record).write_text(f"{len(steps)} {[thread.name for thread in threading.enumerate()]}")
"""


class Terminal:
    """A program in a pseudo terminal."""

    def __init__(self, words):
        self.process, self.file = pty.fork()
        if not self.process:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # which jobs in the background of a shell ignore
            os.execvpe(words[0], words, os.environ | {"TERM": "dumb", "COLUMNS": "80"})

    def read(self, end):
        """Return what is shown up to a text; an error if the program ends before it."""
        text = ""
        while not text.endswith(end):
            assert select.select([self.file], [], [], 300)[0], text
            text += os.read(self.file, 1).decode()
        return text.replace("\r\n", "\n")

    def ask(self, line, end="\n> "):
        os.write(self.file, line.encode() + b"\n")
        self.read(f"{line}\r\n")
        return self.read(end.replace("\n", "\r\n")).removesuffix(end)


def test_a_conversation_in_a_terminal(trained, panda, tmp_path):
    letters = panda.processor.tokenizer("o ", add_special_tokens=False).input_ids
    record = tmp_path / "record"
    given = ["--device=cpu", "--max-new-tokens=3000"]
    words = ["chat", str(trained[1]), str(CLIP), *given]
    terminal = Terminal([sys.executable, "-c", PROGRAM, str(record), *map(str, letters), *words])
    assert terminal.read("> ").endswith(f"{trained[1]} on cpu; /help lists the commands\n{panda.read(CLIP)}\n> ")
    assert terminal.ask("What is shown?", "o o") == ""  # the answer begins long before it ends
    os.write(terminal.file, b"\x03")
    assert terminal.read("\r\n> ").endswith("\n(stopped, and left out of the conversation)\n> ")
    assert terminal.ask("/history") == "no question yet"
    assert terminal.ask("/clip nowhere.mp4") == "error: nowhere.mp4: no such file"
    assert terminal.ask("/histry") == "error: there is no command /histry; did you mean /history? /help lists all"
    assert terminal.ask("/clip") == f"* {CLIP}: 0 questions"
    cut_off = CLIP.parent / "hard" / "truncated.mkv"
    assert terminal.ask(f"/clip {cut_off}") == str(panda.read(cut_off))  # the warning is shown once
    os.write(terminal.file, b"\x04")
    assert os.waitpid(terminal.process, 0)[1] == 0
    steps, _, threads = record.read_text().partition(" ")
    assert 0 < int(steps) < 3000 and "(run)" not in threads
