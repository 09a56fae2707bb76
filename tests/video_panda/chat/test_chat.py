"""A conversation with a model: what it is told, what it is asked again, and one line for whatever goes wrong."""

import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.cli import main
from tests.guides import REPOSITORY, shown
from video_panda import VideoPanda
from video_panda.chat.command import converse
from video_panda.chat.slash_commands import CAPTION, Chat
from video_panda.conversation import Conversation

CLIP, OTHER = (Path("tests/data/videos", name) for name in ("asl_eat_portrait.mp4", "fire2_rot180_vfr.mp4"))
QUESTIONS = ["What is shown?", "Where does it happen?", "Who is there?", "And then?"]


@pytest.fixture
def chat(panda):
    """A chat that keeps what it shows in `shown`."""
    lines = []
    chat = Chat(panda, lines.append, lambda warning: lines.append(f"({warning})"))
    chat.shown = lines
    return chat


def answers(conversation, questions):
    return ["".join(conversation.ask(question)) for question in questions]


def test_a_question_is_asked_with_the_turns_before_it(panda, monkeypatch):
    told = []
    stream = panda.stream
    monkeypatch.setattr(panda, "stream", lambda *asked: told.append(asked) or stream(*asked))
    conversation = Conversation(panda, CLIP)
    said = answers(conversation, QUESTIONS[:2])
    before = [(QUESTIONS[0], said[0])]
    assert said == [panda.ask(CLIP, QUESTIONS[0]), panda.ask(CLIP, QUESTIONS[1], before)]
    assert told == [(CLIP, QUESTIONS[0], []), (CLIP, QUESTIONS[1], before)]
    conversation.reset()
    assert answers(conversation, QUESTIONS[:1]) == said[:1]


@pytest.mark.parametrize("clip", [CLIP, None])
def test_a_long_conversation_loses_its_oldest_turns_and_says_so(chat, panda, clip, monkeypatch):
    if clip:
        chat.clip(str(clip))
    told = []
    stream = panda.stream
    monkeypatch.setattr(panda, "stream", lambda *asked: told.append(list(asked[2])) or stream(*asked))
    room = panda.model.generation_config.max_new_tokens
    three = panda.processor(QUESTIONS[2], clip, [(question, "yes") for question in QUESTIONS[:2]])["input_ids"].shape[1]
    monkeypatch.setattr(panda.processor, "max_length", three + room)
    chat.conversation.turns = [(question, "yes") for question in QUESTIONS[:2]]
    "".join(chat.ask(QUESTIONS[2]))
    assert len(told[-1]) == 2 and not chat.conversation.forgotten  # to the last token
    chat.conversation.turns[-1] = (QUESTIONS[2], "yes")
    chat.shown.clear()
    "".join(chat.ask(QUESTIONS[2] + " More?"))
    turns, forgotten = chat.conversation.turns, chat.conversation.forgotten
    assert told[-1] == turns[forgotten:-1] and forgotten and len(turns) == 4
    with pytest.raises(ValueError, match="too long"):  # one more would not fit
        panda.processor(QUESTIONS[2] + " More?", clip, turns[forgotten - 1 : -1], max_new_tokens=room)
    (warning,) = chat.shown
    assert f"longer than the {three + room} tokens" in warning and f"no longer told the first {forgotten} q" in warning
    chat.history("")
    assert chat.shown[-1].splitlines()[2 * forgotten] == "(the model was not told with the last question what is above)"
    with pytest.raises(ValueError, match="too long"):
        chat.ask("word " * three)
    assert len(chat.conversation.turns) == 4


def test_an_answer_that_is_left_is_no_turn(panda, monkeypatch):
    closed = []

    def stream(*asked):
        try:
            yield "a "
            yield "b"
        finally:
            closed.append(asked)

    conversation = Conversation(panda, CLIP)
    monkeypatch.setattr(panda, "stream", stream)
    pieces = conversation.ask(QUESTIONS[0])
    assert next(pieces) == "a "
    pieces.close()
    assert closed and conversation.turns == []
    assert answers(conversation, QUESTIONS[:1]) == ["a b"] and conversation.turns == [(QUESTIONS[0], "a b")]


def test_each_clip_has_a_conversation_of_its_own(chat, panda):
    chat.clip(str(CLIP))
    assert chat.shown == [str(panda.read(CLIP))]
    first = answers(chat.conversation, QUESTIONS[:1])
    chat.clip(f"'{OTHER}'")  # with quotes, as files that are dragged into a terminal
    assert answers(chat.conversation, QUESTIONS[:1]) == [panda.ask(OTHER, QUESTIONS[0])]
    for missing in ("nowhere.mp4", "tests/data/real_clips_qa.json"):
        with pytest.raises(ValueError, match=missing):
            chat.clip(missing)
        assert chat.read.clip == str(OTHER) and len(chat.conversation.turns) == 1
    chat.clip("tests/../" + str(CLIP))
    assert chat.shown[-1].endswith("\nthe conversation goes on after 1 question")
    assert chat.conversation.turns == [(QUESTIONS[0], first[0])]
    chat.clip("")
    assert chat.shown[-1] == f"* {CLIP}: 1 question\n  {OTHER}: 1 question"


def test_questions_without_a_clip(chat, panda):
    inputs = panda.processor(QUESTIONS[0])
    assert "pixel_values_videos" not in inputs
    ids = panda.model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
    assert answers(chat.conversation, QUESTIONS[:1]) == panda.processor.batch_decode(ids)
    with pytest.raises(ValueError, match="there is no clip yet"):
        chat.frames("")


def test_the_frames_as_one_picture(chat, tmp_path):
    chat.clip(str(OTHER))
    file = tmp_path / "sheet.png"
    chat.frames(str(file))
    assert chat.shown[-1] == f"{chat.read}\nwritten to {file}"
    sheet = np.asarray(Image.open(file)).astype(int)
    width, height = 256, 144
    assert sheet.shape == (2 * (height + CAPTION), 4 * width, 3)
    for number, frame in enumerate(chat.read.frames):
        top, left = number // 4 * (height + CAPTION), number % 4 * width
        small = np.asarray(Image.fromarray(frame).resize((width, height))).astype(int)
        assert np.array_equal(sheet[top : top + height, left : left + width], small)
        assert sheet[top + height : top + height + CAPTION, left : left + width].min() < 100  # its time
    with pytest.raises(FileExistsError):
        chat.frames(str(file))
    chat.frames("")
    named = Path(chat.shown[-1].partition("written to ")[2])
    assert named.name.startswith("fire2_rot180_vfr_frames_") and named.read_bytes() == file.read_bytes()
    named.unlink()


def test_commands(chat):
    for wrong, right in (("/clips x", "/clip"), ("/hisory", "/history"), ("/quit", "/exit"), ("/", "/help")):
        with pytest.raises(ValueError, match=f"there is no command {wrong.split()[0]}; did you mean {right}"):
            chat.command(wrong)
    chat.command("/history")
    assert chat.shown[-1] == "no question yet"
    chat.command("/help\n")
    assert all(f"\n{name}" in f"\n{chat.shown[-1]}" for name in chat.commands)
    with pytest.raises(EOFError):
        chat.command("/exit")


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_the_prompt_ends_by_ctrl_d_and_ctrl_c(chat, end, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda prompt: (_ for _ in ()).throw(end))
    converse(chat, None)
    assert capsys.readouterr().out == "no clip yet: answers are from the text alone; /clip FILE shows the model one\n\n"


class Stream(io.TextIOWrapper):
    """Standard input of a script."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content), encoding="utf-8")


@pytest.fixture
def run(trained, monkeypatch, capsys):
    """Run the program; returns exit status, output and errors."""

    def program(*words, model=trained[1], lines=b""):
        monkeypatch.setattr(sys, "stdin", Stream(lines))
        capsys.readouterr()
        status = 0
        try:
            main(["chat", "--device=cpu", str(model), *map(str, words)])
        except SystemExit as ended:
            status = ended.code
        output = capsys.readouterr()
        return status, output.out.splitlines(), output.err

    return program


def test_answers_for_a_script(run, panda):
    first = panda.ask(CLIP, QUESTIONS[0])
    second = panda.ask(CLIP, QUESTIONS[1], [(QUESTIONS[0], first)])
    assert run(CLIP, "--question", QUESTIONS[0], "--question", QUESTIONS[1]) == (0, [first, second], "")
    lines = f"{QUESTIONS[0]}\n\n/reset\n{QUESTIONS[0]}\n/clip {OTHER}\n{QUESTIONS[0]}\n/exit\n{QUESTIONS[1]}\n"
    assert run(CLIP, lines=lines.encode()) == (0, [first, first, panda.ask(OTHER, QUESTIONS[0])], "")


def test_objects_for_a_script(run, panda):
    long = "word " * 5000
    status, output, errors = run(CLIP, "--json", lines=f"{QUESTIONS[0]}\n{long}\n{QUESTIONS[1]}\n".encode())
    good, bad, after = map(json.loads, output)
    first = panda.ask(CLIP, QUESTIONS[0])
    times = [round(time, 3) for time in panda.read(CLIP).times]
    assert good.pop("seconds") > 0 and good.pop("tokens") == len(panda.processor.tokenizer(first).input_ids)
    assert good == {"clip": str(CLIP), "times": times, "question": QUESTIONS[0], "answer": first, "forgotten": 0}
    assert bad.keys() == {"clip", "times", "question", "error", "forgotten"} and "is too long" in bad["error"]
    assert after["answer"] == panda.ask(CLIP, QUESTIONS[1], [(QUESTIONS[0], first)])
    assert status == 1 and re.fullmatch(
        r"error: questions that could not be answered: 1, first: .*too long.*\n", errors
    )


@pytest.mark.parametrize(
    ("words", "lines", "error"),
    [
        (["nowhere.mp4", "--question", "Where?"], b"", "nowhere.mp4: no such file"),
        ([CLIP], b"/clip nowhere.mp4\nWhere?\n", "nowhere.mp4: no such file"),
        ([CLIP, "--json"], b"/clips\nWhere?\n", "there is no command /clips; did you mean /clip?"),
        ([CLIP], b"word " * 5000 + b"\nWhere?\n", ".* is too long: .*"),
        ([CLIP], b"\xff\nWhere?\n", "the question is no text in UTF-8"),
        ([CLIP, "--device=lamp"], b"Where?", "--device lamp cannot be used: .*"),
        ([CLIP, "--max-new-tokens=0"], b"Where?", ".*max_new_tokens is 0.*"),
    ],
)
def test_what_a_script_cannot_have_is_one_line(run, words, lines, error):
    status, output, errors = run(*words, lines=lines)
    assert (status, output) == (1, []) and re.fullmatch(f"error: {error}.*\n", errors)


@pytest.mark.parametrize("words", [["--json"], []])
@pytest.mark.parametrize("where", ["_inputs", "generate"])
def test_too_little_memory_for_an_answer_is_one_line_and_leaves_no_turn(run, panda, monkeypatch, words, where):
    usual, asked = getattr(VideoPanda, where), []

    def exhausted_once(*inputs, **options):
        asked.append(inputs)
        if len(asked) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. If reserved but unallocated")
        return usual(*inputs, **options)

    monkeypatch.setattr(VideoPanda, where, exhausted_once)
    status, output, errors = run(CLIP, *words, lines="\n".join(QUESTIONS[:2]).encode())
    line = "the memory of the GPU does not suffice: CUDA out of memory. Tried to allocate 2.00 GiB. Needs less: --dtype"
    assert status == 1 and line in errors and errors.count("\n") == 1
    if words:
        bad, good = map(json.loads, output)
        assert bad["error"].startswith(line) and good["answer"] == panda.ask(CLIP, QUESTIONS[1])


def test_too_little_memory_for_a_model_is_one_line(run, monkeypatch):
    def exhausted(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(VideoPanda, "from_pretrained", exhausted)
    status, _, errors = run(CLIP, "--question=Where?")
    assert status == 1 and re.fullmatch(r"error: the memory of the GPU does not suffice: .* --device cpu\n", errors)


def test_ctrl_c_in_a_script(run, monkeypatch):
    monkeypatch.setattr("video_panda.chat.command.load", lambda options: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(CLIP, "--question=Where?") == (130, [], "")


def test_no_model(run, trained, tmp_path):
    status, output, errors = run("--question=Where?", model=tmp_path)
    assert (status, output) == (1, []) and re.fullmatch(r"error: .* is neither a model folder .*\n", errors)
    other = shutil.copytree(trained[1], tmp_path / "other")
    config = (other / "config.json").read_text()
    (other / "config.json").write_text(config.replace('"GSTRA"', '"FutureAggregator"'))
    status, output, errors = run("--question=Where?", model=other)
    assert (status, output) == (1, []) and re.fullmatch(r"error: .*config\.json .*version.*\n", errors)
    assert run("--question= ")[0] == 2


def test_the_commands_of_the_guide(run, trained, tmp_path, monkeypatch, panda):
    lines = shown(REPOSITORY / "docs" / "chat.md")
    shutil.copy(CLIP, tmp_path / "clip.mp4")
    (tmp_path / "questions.txt").write_text("\n".join(QUESTIONS[:2]))
    monkeypatch.chdir(tmp_path)
    for line in lines:
        program, _, file = line.partition(" < ")
        words = shlex.split(program)
        assert words[:4] == ["video-panda", "chat", "models/full", "clip.mp4"]
        status, output, errors = run(*words[3:], lines=Path(file).read_bytes() if file else b"Why?")
        first = panda.ask("clip.mp4", QUESTIONS[0])
        expected = [first, panda.ask("clip.mp4", QUESTIONS[1], [(QUESTIONS[0], first)])]
        assert (status, errors) == (0, "")
        if words[4:]:
            assert (
                [json.loads(row)["answer"] for row in output] == expected if "--json" in words else output == expected
            )
    assert len(lines) == 4
