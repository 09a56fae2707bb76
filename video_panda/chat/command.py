"""`video-panda chat MODEL [CLIP]`: asks a trained model about clips, in the terminal or from a script.

In the terminal /help lists the commands, and Ctrl-C stops an answer. With --question, or with lines from a pipe, only
answers are printed, one a line. The lines are those that one would type, so /clip and /reset are possible there too.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain

from datamodules.printable import say
from lightning_modules.config.user_errors import user_error, user_errors
from video_panda.chat.slash_commands import Chat
from video_panda.options import ModelParser, load

INTERRUPTED = 130


def main(args: Sequence[str]) -> None:
    """Parse the command line, load the model, and answer."""
    parser = ModelParser("chat", __doc__)
    parser.add_argument("clip", nargs="?", help="video or picture to ask about")
    parser.add_argument("--question", action="append", help="question, or command; may be given several times")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each question")
    options = parser.parse_args(args)
    if options.question and not all(map(str.strip, options.question)):
        parser.error("a --question is empty")
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # a line that is no text is an error
    with user_errors():
        try:
            panda = load(options)
            if options.question or options.json or not sys.stdin.isatty():
                chat = Chat(panda, note=lambda _: None, warn=lambda line: say(line, file=sys.stderr))
                if options.clip:
                    chat.clip(options.clip)
                answer_lines(chat, options.question or sys.stdin, options.json)
            else:
                say(f"{options.model} on {panda.model.device}; /help lists the commands")
                converse(Chat(panda, note=say, warn=lambda line: say(f"({line})")), options.clip)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


def converse(chat: Chat, clip: str | None) -> None:
    """Ask for lines in the terminal until Ctrl-C, Ctrl-D or `/exit`; after an error the conversation goes on.

    Args:
        chat: conversations.
        clip: first clip; None to begin without one.
    """
    logging.getLogger("datamodules.video").setLevel(logging.ERROR)  # what it warns of is shown with the clip
    import readline  # gives `input` line editing and a history

    readline.set_completer_delims(" ")
    readline.parse_and_bind("tab: complete")  # names of files
    if clip is None:
        say("no clip yet: answers are from the text alone; /clip FILE shows the model one")
    for line in chain([] if clip is None else [f"/clip {clip}"], _typed()):
        try:
            if line.startswith("/"):
                chat.command(line)
            elif question := line.strip():
                with closing(chat.ask(question)) as pieces:
                    for piece in pieces:
                        say(piece, end="")
                say()
        except EOFError:  # of /exit
            return
        except KeyboardInterrupt:
            say("\n(stopped, and left out of the conversation)")
        except (ValueError, OSError) as error:
            if (message := user_error(error)) is None:
                raise
            say(f"error: {message}")


def _typed() -> Iterator[str]:
    while True:
        try:
            yield input("> ")
        except (EOFError, KeyboardInterrupt):
            say()
            return


def answer_lines(chat: Chat, lines: Iterable[str], as_json: bool) -> None:
    """Print the answers to the questions among the lines of a script.

    Args:
        chat: conversations.
        lines: questions and commands, as they would be typed; empty ones are left out.
        as_json: whether to print an object for each question. One that cannot be answered has an `error`, and the next
            one follows; as plain text, the first error ends the program.

    Raises:
        ValueError: a command cannot be done, or a question cannot be answered.
        OSError: a file cannot be written.
    """
    errors = []
    for line in lines:
        if line.startswith("/"):
            try:
                chat.command(line)
            except EOFError:  # of /exit
                break
        elif question := line.strip():
            began = time.monotonic()
            try:
                answer = "".join(chat.ask(question))
            except ValueError as error:
                if not as_json or user_error(error) is None:
                    raise
                errors.append(str(error))
                say(_record(chat, question, error=str(error)))
            else:
                seconds = round(time.monotonic() - began, 3)
                tokens = len(chat.panda.processor.tokenizer(answer, add_special_tokens=False).input_ids)
                record = _record(chat, question, answer=answer, seconds=seconds, tokens=tokens)
                say(record if as_json else " ".join(answer.splitlines()))
    if errors:
        raise ValueError(f"questions that could not be answered: {len(errors)}, first: {errors[0]}")


def _record(chat: Chat, question: str, **facts: str | float) -> str:
    read = chat.read
    clip = {"clip": read and read.clip, "times": [round(shown, 3) for shown in read.times] if read else []}
    record = {**clip, "question": question, **facts, "forgotten": chat.conversation.forgotten}
    return json.dumps(record).replace("\x7f", "\\u007f")  # the one control character that JSON leaves as it is
