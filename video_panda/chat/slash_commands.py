"""What a user of `video-panda chat` can do: ask questions, and give commands, which begin with a slash."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw

from video_panda.clips import ClipRead
from video_panda.conversation import Conversation
from video_panda.model import VideoPanda

THUMBNAIL, COLUMNS, CAPTION = 256, 4, 14  # of a contact sheet: longest side in pixels, pictures a row, height of text


class Command(NamedTuple):
    """A command: what may follow its name, what it does in words, and the function that does it."""

    argument: str
    help: str
    run: Callable[[str], None]


class Chat:
    """The conversations of a user with a model, and the commands between questions.

    Attributes:
        conversation: the present one.
        conversations: all conversations about clips, by the path of the clip.
        read: what was read of the present clip; None without one.
        commands: name -> command.
    """

    def __init__(self, panda: VideoPanda, note: Callable[[str], None], warn: Callable[[str], None]) -> None:
        """Begin without a clip.

        Args:
            panda: model that answers.
            note: function that shows what a command found.
            warn: function that shows what the user must know of an answer.
        """
        self.panda = panda
        self.note = note
        self.warn = warn
        self.conversation = Conversation(panda)
        self.conversations: dict[Path, Conversation] = {}
        self.read: ClipRead | None = None
        self.commands = {
            "/clip": Command("FILE", "show the model a video or picture; alone: list those of before", self.clip),
            "/frames": Command("[PNG]", "say which frames the model is shown, and write them to a file", self.frames),
            "/history": Command("", "show the conversation about this clip", self.history),
            "/reset": Command("", "forget the conversation about this clip", self.reset),
            "/help": Command("", "show this", self.help),
            "/exit": Command("", "end, as Ctrl-D and Ctrl-C do where a question is typed", self.exit),
        }

    def ask(self, question: str) -> Generator[str, None, None]:
        """Answer a question piece by piece, and warn if the model is not told all of the conversation.

        Raises:
            ValueError: the clip cannot be read any more, or the question is too long or no text.
        """
        try:
            question.encode()
        except UnicodeEncodeError as error:
            raise ValueError("the question is no text in UTF-8") from error
        conversation = self.conversation
        before = conversation.forgotten
        pieces = conversation.ask(question)
        if conversation.forgotten not in (before, 0):
            self.warn(
                f"the conversation is longer than the {self.panda.processor.max_length} tokens that the model takes: "
                f"it is no longer told the first {_questions(conversation.forgotten)}"
            )
        return pieces

    def command(self, line: str) -> None:
        """Do what a line with a command says.

        Raises:
            ValueError: there is no such command, or it cannot be done.
            OSError: a file cannot be written.
            EOFError: the command is `/exit`.
        """
        name, _, argument = line.strip().partition(" ")
        if name not in self.commands:
            (nearest,) = get_close_matches(name, self.commands, n=1, cutoff=0)
            raise ValueError(f"there is no command {name}; did you mean {nearest}? /help lists all")
        self.commands[name].run(argument.strip())

    def clip(self, file: str) -> None:
        """Begin a conversation about a clip, or go on with an earlier one; without a file, list the clips."""
        if not file:
            self.note("\n".join(map(self._listed, self.conversations.values())) or "no clip yet")
            return
        path = Path(file.strip("'\"")).expanduser()  # files that are dragged into a terminal have quotes
        read, new = self.panda.read(path), Conversation(self.panda, path)
        conversation = self.conversations.setdefault(path.resolve(), new)
        self.read, self.conversation = read, conversation
        turns = conversation.turns
        self.note(f"{read}\nthe conversation goes on after {_questions(len(turns))}" if turns else str(read))

    def frames(self, file: str) -> None:
        """Say which frames the model is shown, and write them as one picture."""
        if self.read is None:
            raise ValueError("there is no clip yet; /clip FILE shows the model one")
        path = Path(file).expanduser()
        if not file:
            handle, name = tempfile.mkstemp(".png", f"{Path(self.read.clip).stem}_frames_")
            os.close(handle)
            path = Path(name)
        with path.open("xb" if file else "wb") as sheet:
            contact_sheet(self.read).save(sheet, "PNG")
        self.note(f"{self.read}\nwritten to {path}")

    def history(self, _: str) -> None:
        """Show the conversation about this clip."""
        conversation = self.conversation
        lines = [f"> {question}\n{answer}" for question, answer in conversation.turns]
        if conversation.forgotten:
            lines.insert(conversation.forgotten, "(the model was not told with the last question what is above)")
        self.note("\n".join(lines) or "no question yet")

    def reset(self, _: str) -> None:
        """Forget the conversation about this clip."""
        self.conversation.reset()
        self.note("the conversation begins anew")

    def help(self, _: str) -> None:
        """List the commands."""
        lines = [f"{f'{name} {command.argument}':<15}{command.help}" for name, command in self.commands.items()]
        self.note("\n".join([*lines, *HELP]))

    def exit(self, _: str) -> None:
        """End."""
        raise EOFError

    def _listed(self, conversation: Conversation) -> str:
        mark = "*" if conversation is self.conversation else " "
        return f"{mark} {conversation.clip}: {_questions(len(conversation.turns))}"


HELP = (
    "All other lines are questions. Ctrl-C stops an answer, which is then left out of the conversation.",
    "The model sees one clip at a time, and each clip has a conversation of its own: /clip with an earlier one",
    "goes on with its. A conversation that gets too long for the model loses its oldest questions, which is said.",
)


def _questions(count: int) -> str:
    return "1 question" if count == 1 else f"{count} questions"


def contact_sheet(read: ClipRead) -> Image.Image:
    """Return the frames of a clip as one picture, each above its time."""
    longest = max(read.size)
    width, height = (max(1, round(side * THUMBNAIL / longest)) for side in read.size)
    columns = min(COLUMNS, len(read.frames))
    sheet = Image.new("RGB", (columns * width, -(-len(read.frames) // columns) * (height + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (frame, shown) in enumerate(zip(read.frames, read.times, strict=True)):
        left, top = number % columns * width, number // columns * (height + CAPTION)
        sheet.paste(Image.fromarray(frame).resize((width, height)), (left, top))
        draw.text((left + 2, top + height + 1), f"{shown:.3g} s", "black")
    return sheet
