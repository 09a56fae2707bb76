"""`VideoPanda`: a trained model that answers questions about clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, overload

import torch

from components.positive import check_positive
from datamodules.batch import Batch
from datamodules.clip_dataset import Sample, collate
from datamodules.records import Turn
from lightning_modules.config.chain import read_config, replace_here
from lightning_modules.export.trained_run import find_run, load, model_parser
from lightning_modules.runs.folder import CONFIG, LAST_CHECKPOINT
from lightning_modules.training.init_from import init_from
from lightning_modules.training.model_input import prepare
from lightning_modules.video_language import VideoLanguageModel
from video_panda.clips import Clip, ClipReading

AT_ONCE = 8  # questions per batch


class VideoPanda:
    """A trained video-language model that reads clips and answers questions as in its test.

    Attributes:
        model: the model in evaluation mode, with all its parts.
        reading: how clips become frames of the model.
        device: device of the model.
    """

    def __init__(
        self, model: VideoLanguageModel, reading: ClipReading, device: torch.device, autocast: bool = False
    ) -> None:
        """Set the parts; use `from_pretrained` for a model on disk.

        Args:
            model: trained model.
            reading: how clips become frames of the model.
            device: device on which the model answers.
            autocast: whether operations are in bfloat16 where that is safe, with weights as they are (bf16-mixed).
        """
        self.model = model.to(device).eval()
        self.reading = reading
        self.device = device
        self._autocast = autocast

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        max_new_tokens: int | None = None,
    ) -> Self:
        """Load a model.

        Args:
            source: model folder, as `video-panda export` writes it; or a run folder, or one of the run's checkpoints.
            device: device to load it on. Default: the GPU if there is one.
            dtype: number format of weights and operations. Default: the precision of the run's test.
            max_new_tokens: maximum length of an answer, in tokens. Default: that of the run.

        Raises:
            ValueError: there is no model in `source`, its files do not belong together or are damaged, or
                `max_new_tokens` is below 1.
        """
        model, config = _load(Path(source).expanduser())
        if max_new_tokens is not None:
            check_positive("from_pretrained", max_new_tokens=max_new_tokens)
            model.max_new_tokens = max_new_tokens
        precision = str(config.get("trainer", {}).get("precision") or "32-true")
        if dtype is None and precision.endswith("-true"):
            dtype = {"bf16-true": torch.bfloat16, "16-true": torch.float16}.get(precision)
        model = model if dtype is None else model.to(dtype)
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        reading = ClipReading.of_data(config["data"]["init_args"])
        return cls(model, reading, chosen, autocast=dtype is None and precision.startswith("bf16"))

    @overload
    def ask(self, clip: Clip, question: str, before: Sequence[tuple[str, str]] = ()) -> str: ...  # type: ignore[overload-overlap]  # a str is a sequence too
    @overload
    def ask(
        self, clip: Sequence[Clip], question: Sequence[str], before: Sequence[tuple[str, str]] = ()
    ) -> list[str]: ...
    def ask(self, clip: Any, question: str | Sequence[str], before: Sequence[tuple[str, str]] = ()) -> str | list[str]:
        """Answer one question about one clip, or a list of questions about as many clips, in batches.

        Args:
            clip: path of a video or picture, frames (T, H, W, 3) in uint8, or a list of pictures; for a list of
                questions, a list of such clips. Frames in memory count as a clip of 25 frames per second.
            question: question, or list of questions.
            before: earlier questions about the clip and their answers, which a conversation goes on from.

        Returns:
            The answer, or the answers in the order of the questions.

        Raises:
            ValueError: a clip cannot be read, a question is too long, or the lists differ in length.
        """
        if isinstance(question, str):
            return self._answers([clip], [question], before)[0]
        if isinstance(clip, str | Path) or len(clip) != len(question):
            count = 1 if isinstance(clip, str | Path) else len(clip)
            raise ValueError(f"{len(question)} questions need a list of as many clips, not {count}")
        return self._answers(list(clip), list(question), before)

    def _answers(self, clips: Sequence[Clip], questions: Sequence[str], before: Sequence[tuple[str, str]]) -> list[str]:
        turns = [Turn(*turn) for turn in before]
        samples = self.reading.samples(clips, questions, turns, self.model)
        answers: list[str] = []
        for start in range(0, len(questions), AT_ONCE):
            read = [samples[number] for number in range(start, min(start + AT_ONCE, len(questions)))]
            if (failed := next((sample for sample in read if not isinstance(sample, Sample)), None)) is not None:
                raise ValueError(failed.reason)
            answers += self._generate(collate(read))
        return answers

    @torch.inference_mode()
    def _generate(self, batch: Batch) -> list[str]:
        model = self.model
        prepared = prepare(batch, model.encoder, model.language_model, lambda: batch, model.max_new_tokens)
        prepared = prepared.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            return model.generate(prepared, model.visual_tokens(prepared))


def _load(source: Path) -> tuple[VideoLanguageModel, dict[str, Any]]:
    """Return the model and the configuration of a run or a model folder."""
    if source.is_file() or (source / LAST_CHECKPOINT).is_file():
        run = find_run(source)
        return load(run).model, run.config
    file = source / CONFIG
    config = replace_here(read_config(file), source.absolute()) if file.is_file() else {}
    if not config.get("init_from") or "model" not in config or "data" not in config:
        raise ValueError(
            f"{source} is neither a model folder ({CONFIG} with weights, as video-panda export writes it) nor a run "
            f"folder ({CONFIG} and {LAST_CHECKPOINT})"
        )
    parser = model_parser()
    model: VideoLanguageModel = parser.instantiate_classes(parser.parse_object({"model": config["model"]})).model
    init_from(model, config["init_from"])
    return model, config
