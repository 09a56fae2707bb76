"""The page of `video-panda demo`: a clip, a conversation about it with one model or two, and what they attend to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import permutations, zip_longest
from pathlib import Path
from time import monotonic
from typing import Any

import gradio as gr

from lightning_modules.config.difference import difference
from lightning_modules.config.user_errors import user_error
from video_panda.conversation import Conversation
from video_panda.demo.attention import attention_names, attention_pictures
from video_panda.model import VideoPanda

LONGEST_QUESTION = 2000  # characters that the page lets one type
KEPT, LOOKED = 3600, 300  # seconds after which a file goes, and between two looks for such files
HINT = (
    "Upload or record a clip, then ask; further questions go on from the answers. Below is what a model reads of the "
    "clip, and what its parts attend to, which is the same for all questions."
)
FRAMES = "Frames"
CHAT: dict[str, Any] = {
    "show_label": False, "height": 320, "render_markdown": False, "buttons": [], "placeholder": "No question yet",
}  # fmt: skip
IMAGE_BUTTONS: list[Any] = ["download", "fullscreen"]
STYLE = """
.gradio-container {max-width: 1500px !important}
.facts {font-size: 0.9em}
.clip video {max-height: 220px}
/* Errors are lines of their own, and cover nothing. */
[data-testid="status-tracker"]:has(> .error) {display: none !important}
/* Trimming would load a program from elsewhere. */
.clip [aria-label="Trim video to selection"], .clip [aria-label="Reset video to initial value"] {display: none}
"""


def page(pandas: Mapping[str, VideoPanda], seconds: float) -> gr.Blocks:
    """Return the page.

    Args:
        pandas: one model, or two that are compared, by their names.
        seconds: time limit of an answer.
    """
    models = list(pandas.values())
    for panda in models:
        panda.model.generation_config.max_time = seconds

    def read(clip: str | None) -> Iterator[list[Any]]:
        """Show the frames of a clip and what models attend to in it, and begin conversations about it."""

        def only(line: str) -> list[Any]:
            nothing = [part for panda in models for part in (line, None, *(None for _ in attention_names(panda)))]
            return [*nothing, [], *([] for _ in models)]

        if clip is None:
            yield only("")
            return
        yield only("Reading the clip ...")
        shown: list[Any] = []
        try:
            with one_line(clip):
                for name, panda in pandas.items():
                    seen = panda.read(clip)
                    pictures = attention_pictures(panda, clip, f"{name}: {Path(clip).name}")
                    facts = str(seen).replace(seen.clip, Path(clip).name).replace("\n", "  \n")
                    frames = [(frame, f"{time:.2f} s") for frame, time in zip(seen.frames, seen.times, strict=True)]
                    shown += [facts, frames, *(pictures.get(view) for view in attention_names(panda))]
                conversations = [Conversation(panda, Path(clip)) for panda in models]
        except gr.Error as error:
            yield only(error.message)
            raise
        yield [*shown, conversations, *([] for _ in models)]

    def ask(question: str, conversations: list[Conversation]) -> Iterator[list[Any]]:
        """Let all models answer, word by word."""
        if not conversations:
            raise gr.Error("Give a clip first.", print_exception=False)
        if not question.strip():
            raise gr.Error("Type a question first.", print_exception=False)
        start = monotonic()
        turns = [list(conversation.turns) for conversation in conversations]
        with one_line(str(conversations[0].clip)), closing(answered(conversations, question)) as words:
            for said in words:
                yield ["", *(messages([*old, (question, text)]) for old, text in zip(turns, said, strict=True))]
        if monotonic() - start >= seconds:
            gr.Warning(f"The answer was stopped after {seconds:g} s.")

    def reset(conversations: list[Conversation]) -> list[Any]:
        """Begin anew, with the same clip."""
        for conversation in conversations:
            conversation.reset()
        return [[] for _ in models]

    blocks = gr.Blocks(title="Video-Panda", analytics_enabled=False, delete_cache=(LOOKED, KEPT), fill_width=True)
    with blocks:
        gr.Markdown(f"## Video-Panda: {' and '.join(pandas)}")
        conversations = gr.State([])
        with gr.Row():
            clip = gr.Video(sources=["upload", "webcam"], label="Clip", elem_classes="clip", scale=1, min_width=300)
            with gr.Column(scale=2, min_width=300):
                question = gr.Textbox(label="Question", placeholder="What is shown?", max_length=LONGEST_QUESTION)
                with gr.Row():
                    send = gr.Button("Ask", variant="primary", min_width=80)
                    stop = gr.Button("Stop", min_width=80)
                    anew = gr.Button("Reset", min_width=80)
                hint = gr.Markdown(HINT, elem_classes="facts")
                gr.Markdown(compared(pandas))
        shown: list[Any] = []
        chats: list[gr.Chatbot] = []
        tabs: list[tuple[gr.Tabs, list[str]]] = []
        with gr.Row():
            for name, panda in pandas.items():
                with gr.Column(min_width=320):
                    gr.Markdown(heading(name, panda))
                    with gr.Row():
                        with gr.Column(min_width=420):
                            chats.append(gr.Chatbot(**CHAT))
                        views = [view.replace("_", " ").capitalize() for view in attention_names(panda)]
                        with gr.Column(min_width=420), gr.Tabs() as chosen:
                            tabs.append((chosen, [FRAMES, *views]))
                            with gr.Tab(FRAMES, id=FRAMES):
                                shown.append(gr.Markdown(elem_classes="facts"))
                                shown.append(gr.Gallery(show_label=False, columns=4, object_fit="contain", buttons=[]))
                            for label in views:
                                with gr.Tab(label, id=label):
                                    shown.append(gr.Image(show_label=False, format="png", buttons=IMAGE_BUTTONS))
        for (chosen, _), (other, labels) in permutations(tabs, 2):  # the same picture of both models
            chosen.select(same_tab(labels), None, other, queue=False, api_visibility="private")
        for component in (clip, question):
            refuse_addresses(component)
        in_turn: dict[str, Any] = {"concurrency_id": "models", "concurrency_limit": 1, "show_progress_on": hint}
        asking = gr.on(
            [send.click, question.submit],
            ask,
            [question, conversations],
            [question, *chats],
            trigger_mode="once",
            api_name="ask",
            **in_turn,
        )
        clip.change(read, clip, [*shown, conversations, *chats], cancels=asking, api_name="read", **in_turn)
        stop.click(None, cancels=asking, api_visibility="private")
        gr.on(
            [anew.click, *(chat.clear for chat in chats)],
            reset,
            conversations,
            chats,
            cancels=asking,
            api_name="reset",
            **in_turn,
        )
    return blocks


def same_tab(labels: Sequence[str]) -> Callable[[gr.SelectData], Any]:
    """Return a function that turns to the tab chosen elsewhere, if it is one of `labels`."""

    def turn(event: gr.SelectData) -> Any:
        return gr.Tabs(selected=event.value) if event.value in labels else gr.skip()

    return turn


def answered(conversations: Sequence[Conversation], question: str) -> Generator[list[str], None, None]:
    """Yield what all models have said so far, after every word; they stop when the generator is closed."""
    with ExitStack() as open_streams:
        streams = [open_streams.enter_context(closing(one.ask(question))) for one in conversations]
        said = ["" for _ in streams]
        yield said
        for words in zip_longest(*streams, fillvalue=""):
            said = [text + word for text, word in zip(said, words, strict=True)]
            yield said


def messages(turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return turns in the form of a chat."""
    return [
        {"role": role, "content": text}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]


def heading(name: str, panda: VideoPanda) -> str:
    """Return the name of a model, and its size."""
    return f"### {name}\n{sum(parameter.numel() for parameter in panda.model.parameters()) / 1e6:.3g} M parameters"


def compared(pandas: Mapping[str, VideoPanda]) -> str:
    """Return the settings in which the second of two models differs from the first; nothing for one model."""
    if len(pandas) < 2:
        return ""
    (first, base), (second, other) = pandas.items()
    found = difference(parts(other), parts(base)) or ["no part differs, only the training"]
    return f"**{first} -> {second}:** {'; '.join(found)}"


def parts(panda: VideoPanda) -> dict[str, Any]:
    """Return the settings that decide how a model answers."""
    config, processor = panda.model.config, panda.processor
    names = {"encoder": config.encoder, "projector": config.projector, "data": processor.reading or {}}
    return {**names, "prompt": processor.prompt, "language_model": config.text_config.to_diff_dict()}


@contextmanager
def one_line(clip: str) -> Iterator[None]:
    """Show errors of the user in the page, where a clip has the name that it was uploaded with.

    Raises:
        gr.Error: what a user did; the page goes on.
    """
    try:
        yield
    except Exception as error:
        line = user_error(error)
        if line is None:
            raise
        raise gr.Error(line.replace(clip, Path(clip).name), print_exception=False) from None


def refuse_addresses(component: gr.components.Component) -> None:
    """Let a component take uploaded files only: a request may name an address instead, from which gradio would load."""
    usual: Callable[[str | Path | None], Awaitable[str | None]] = component.async_move_resource_to_block_cache

    async def uploaded(url_or_file_path: str | Path | None) -> str | None:
        if "://" in str(url_or_file_path):
            raise gr.Error("Upload the clip: addresses are not read.", print_exception=False)
        return await usual(url_or_file_path)

    component.async_move_resource_to_block_cache = uploaded  # type: ignore[method-assign]
