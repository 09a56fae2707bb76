"""Turns clips and questions into the inputs of `VideoPandaForConditionalGeneration`: `VideoPandaProcessor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from components.encoders import VideoEncoder
from components.language_models.prompt import PromptFormat
from components.language_models.text import ChatText
from components.splice import PaddingSide, TooLongError, plan_splice
from datamodules.clip_dataset import Sample, collate
from datamodules.records import Turn
from video_panda.clips import Clip, ClipReading
from video_panda.modeling import VIDEO
from video_panda.settings import build

Turns = Sequence[tuple[str, str]]
"""Questions about a clip and their answers, which a conversation goes on from."""


class PromptParts:
    """The parts that decide how many tokens a question and its clip become."""

    def __init__(self, encoder: VideoEncoder, prompt: Callable[[], PromptFormat]) -> None:
        """Set the parts; of the encoder only its sizes are used."""
        self.encoder = encoder
        self.prompt = prompt()


class VideoPandaProcessor(ProcessorMixin):
    """Reads the frames of clips and writes the prompts as the test of a run does, for transformers.

    A conversation is turned into ids by the prompt format of the run and not by a template of the tokenizer, so that
    special tokens in a question are ordinary text.

    Attributes:
        tokenizer: tokenizer of the language model.
        encoder: class and settings of the video encoder, which decides how many tokens a clip becomes.
        prompt: class and settings of the prompt format.
        reading: settings by which clips become frames of the model.
        max_length: longest sequence of the language model, in tokens.
        written_by: version of this project.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        encoder: Mapping[str, Any] | str = "STAB",
        prompt: Mapping[str, Any] | str = "VicunaV1",
        reading: Mapping[str, Any] | None = None,
        max_length: int = 4096,
        written_by: str | None = None,
    ) -> None:
        """Set the settings, which are checked when they are first used."""
        super().__init__(tokenizer)
        self.encoder = encoder
        self.prompt = prompt
        self.reading = reading
        self.max_length = max_length
        self.written_by = written_by
        self._built: tuple[dict[str, Any], ClipReading, PromptParts] | None = None

    def __call__(
        self,
        text: str | Sequence[str],
        videos: Clip | Sequence[Clip | None] | None = None,
        before: Turns | Sequence[Turns] = (),
        max_new_tokens: int = 0,
        **options: Any,
    ) -> BatchFeature:
        """Return the inputs of the model for one question, or a list of questions, padded on the left.

        Args:
            text: question, or list of questions.
            videos: its clip, or as many clips, as `VideoPanda.ask` takes them; None where there is none.
            before: earlier questions and answers of the conversation, or of each one.
            max_new_tokens: number of tokens to keep free for an answer.
            options: `return_tensors`, which must be "pt", and `padding`, which is always done.

        Raises:
            ValueError: a clip cannot be read, a question is too long, or the settings are of another version.
        """
        _check_options(options)
        one = isinstance(text, str)
        questions: list[str] = [text] if isinstance(text, str) else list(text)
        clips: list[Any] = [videos] if one else list(videos) if videos is not None else [None] * len(questions)  # type: ignore[arg-type]
        turns: list[Any] = [before] if one else list(before) or [()] * len(questions)
        reading, encoder, prompt = self.parts()
        earlier = [[Turn(*turn) for turn in conversation] for conversation in turns]
        samples = reading.samples(clips, questions, earlier, encoder, prompt)
        read = [samples[number] for number in range(len(questions))]
        if (failed := next((sample for sample in read if not isinstance(sample, Sample)), None)) is not None:
            raise ValueError(failed.reason)
        batch = collate(read)
        counts = encoder.layout(batch.clips.shapes).token_counts if batch.has_clips else ()
        try:
            plan = plan_splice(
                [
                    prompt.encode_question(sample.before, sample.question, with_clip=sample.video != "")
                    for sample in batch.samples
                ],
                counts,
                None,
                padding_side=PaddingSide.LEFT,
                pad_id=prompt.pad_id,
                max_length=self.max_length,
                new_tokens=max_new_tokens,
            )
        except TooLongError as error:
            place, length = next(iter(error.samples.items()))
            raise ValueError(f"the question {questions[place]:.40}... is too long: with its clip {length}") from None
        inputs = {"input_ids": plan.input_ids, "attention_mask": plan.attention_mask}
        if batch.has_clips:
            types = torch.zeros_like(plan.input_ids).flatten().index_fill(0, plan.visual_positions, VIDEO)
            inputs |= {
                "mm_token_type_ids": types.view_as(plan.input_ids),
                "pixel_values_videos": batch.clips.frames,
                "video_frame_counts": batch.clips.shapes.frame_counts,
                "video_rectangles": batch.clips.shapes.rectangles,
            }
        return BatchFeature(inputs)

    def apply_chat_template(self, conversation: Sequence[Any], **options: Any) -> BatchFeature:  # type: ignore[override]
        """Return the inputs of the model for a conversation, or a list of conversations, in the form of transformers.

        The clip is in the first message: `{"role": "user", "content": [{"type": "video", "path": "clip.mp4"}, {"type":
        "text", "text": "What is shown?"}]}`. Later messages of user and assistant take turns, and the last is a user's.

        Args:
            conversation: messages, or list of conversations.
            options: `tokenize` and `add_generation_prompt`, which must be true, `return_dict`, `return_tensors` and
                `max_new_tokens`.

        Raises:
            ValueError: the conversation has another form, or what `__call__` raises.
        """
        for name in ("tokenize", "add_generation_prompt", "return_dict"):
            if not options.pop(name, True):
                raise ValueError(f"{name} is false; prompts are only made as ids, up to where the answer begins")
        conversations = [conversation] if isinstance(conversation[0], Mapping) else conversation
        parsed = [_parsed(messages) for messages in conversations]
        videos, before = [clip for clip, _, _ in parsed], [turns for _, turns, _ in parsed]
        return self([question for _, _, question in parsed], videos, before, **options)

    def decode(self, token_ids: Any, **options: Any) -> str:
        """Return the text of ids, without special tokens and surrounding space."""
        return str(self.tokenizer.decode(token_ids, **{"skip_special_tokens": True} | options)).strip()

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """Return the texts of several rows of ids."""
        return [self.decode(row, **options) for row in sequences]

    @property
    def model_input_names(self) -> list[str]:
        """Return the names of the inputs."""
        clips = ["mm_token_type_ids", "pixel_values_videos", "video_frame_counts", "video_rectangles"]
        return ["input_ids", "attention_mask", *clips]

    def parts(self) -> tuple[ClipReading, VideoEncoder, ChatText]:
        """Return what the settings say: how clips are read, the encoder without weights, and tokenizer with prompt.

        Raises:
            ValueError: the settings are of another version.
        """
        settings: dict[str, Any] = {"encoder": self.encoder, "prompt": self.prompt, "reading": self.reading or {}}
        if self._built is None or self._built[0] != settings:
            where = "processor_config.json"
            reading = build(ClipReading, settings["reading"], self.written_by, where)
            with torch.device("meta"):  # takes no memory for weights
                kept = {name: settings[name] for name in ("encoder", "prompt")}
                text = build(PromptParts, kept, self.written_by, where)
            self._built = deepcopy(settings), reading, text
        _, reading, text = self._built
        return reading, text.encoder, ChatText(self.tokenizer, text.prompt)


def joined(inputs: Sequence[BatchFeature], pad_id: int) -> BatchFeature:
    """Return the inputs of several questions as those of one batch, padded on the left as the processor does.

    Args:
        inputs: inputs of one question each, some of them perhaps without a clip.
        pad_id: token id of padding.
    """
    length = max(one["input_ids"].shape[1] for one in inputs)

    def rows(name: str, fill: int) -> Tensor:
        given = [one[name] if name in one else torch.zeros_like(one["input_ids"]) for one in inputs]
        return torch.cat([pad(row, (length - row.shape[1], 0), value=fill) for row in given])

    batch = {"input_ids": rows("input_ids", pad_id), "attention_mask": rows("attention_mask", 0)}
    if clips := [one for one in inputs if "pixel_values_videos" in one]:
        batch["mm_token_type_ids"] = rows("mm_token_type_ids", 0)
        for name in ("pixel_values_videos", "video_frame_counts", "video_rectangles"):
            batch[name] = torch.cat([one[name] for one in clips])
    return BatchFeature(batch)


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse options without effect, rather than to leave them aside."""
    allowed = {"return_tensors": ("pt",), "padding": (True, "longest"), "padding_side": ("left",)}
    for name, value in options.items():
        if name not in allowed or value not in allowed[name]:
            raise ValueError(f"{name} is {value!r}; of the processor's options only {allowed} go with this model")


def _parsed(messages: Sequence[Mapping[str, Any]]) -> tuple[Any, list[tuple[str, str]], str]:
    """Return clip, earlier turns and last question of a conversation."""
    roles = [str(message["role"]) for message in messages]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise ValueError(f"a conversation must be of user, assistant, ..., user, not {', '.join(roles)}")
    clip = None
    texts = []
    for number, message in enumerate(messages):
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            if part["type"] not in ("text", "video") or (part["type"] == "video" and (number or clip is not None)):
                raise ValueError(
                    f"message {number + 1} has a {part['type']}; only the first may have one video, and text"
                )
            if part["type"] == "video":
                clip = next(part[key] for key in ("video", "path", "url") if key in part)
        texts.append("\n".join(part["text"] for part in parts if part["type"] == "text"))
    return clip, list(zip(texts[:-1:2], texts[1::2], strict=True)), texts[-1]
