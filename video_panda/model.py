"""`VideoPanda`: a trained model that answers questions about clips."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any, Self, overload

import torch
from huggingface_hub import HfApi
from transformers import BatchFeature, StoppingCriteria, StoppingCriteriaList, TextStreamer

from components.positive import check_positive
from video_panda.clips import Clip, ClipRead
from video_panda.loading import load_model, local
from video_panda.modeling import VideoPandaForConditionalGeneration
from video_panda.processing import Turns, VideoPandaProcessor

AT_ONCE = 8  # questions per batch
MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}  # precision of a test -> format of operations


class VideoPanda:
    """A trained video-language model that reads clips and answers questions as in its test.

    Attributes:
        model: the model in evaluation mode, for transformers. Its `generation_config` decides how answers are made.
        processor: how clips and questions become its input.
        source: where it was loaded from on this machine; None for a model in memory.
        autocast: number format of operations where that is safe; None for that of weights.
    """

    def __init__(
        self,
        model: VideoPandaForConditionalGeneration,
        processor: VideoPandaProcessor,
        source: Path | None = None,
        autocast: torch.dtype | None = None,
    ) -> None:
        """Set the parts; use `from_pretrained` for a model on disk.

        Args:
            model: trained model.
            processor: its processor.
            source: where it was loaded from on this machine.
            autocast: number format of operations where that is safe, in mixed precision; None for that of weights.
        """
        self.model = model.eval()
        self.processor = processor
        self.source = source
        self.autocast = autocast

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        max_new_tokens: int | None = None,
        revision: str | None = None,
    ) -> Self:
        """Load a model.

        Args:
            source: model folder, as `video-panda export` writes it; or a run folder, or one of the run's checkpoints;
                or the name of a repository on the Hugging Face hub.
            device: device to load it on. Default: the GPU if there is one.
            dtype: number format of weights and operations. Default: the precision of the run's test.
            max_new_tokens: maximum length of an answer, in tokens. Default: that of the run.
            revision: branch, tag or commit of a repository.

        Raises:
            ValueError: there is no model in `source`, its files do not belong together, are damaged or of another
                version of this project, or `max_new_tokens` is below 1.
        """
        if max_new_tokens is not None:
            check_positive("from_pretrained", max_new_tokens=max_new_tokens)
        place = local(source, revision)
        model, processor = load_model(place, dtype)
        if max_new_tokens is not None:
            model.generation_config.max_new_tokens = max_new_tokens
        autocast = MIXED.get(model.config.precision) if dtype is None else None
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model.to(device=chosen)  # type: ignore[call-arg]  # decorated in transformers
        return cls(model, processor, place, autocast)

    @overload
    def ask(self, clip: Clip, question: str, before: Turns = ()) -> str: ...  # type: ignore[overload-overlap]  # a str is a sequence too
    @overload
    def ask(self, clip: Sequence[Clip], question: Sequence[str], before: Turns = ()) -> list[str]: ...
    def ask(self, clip: Any, question: str | Sequence[str], before: Turns = ()) -> str | list[str]:
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
        batches = (slice(start, start + AT_ONCE) for start in range(0, len(question), AT_ONCE))
        return [answer for part in batches for answer in self._answers(clip[part], question[part], before)]

    def stream(self, clip: Clip | None, question: str, before: Turns = ()) -> Generator[str, None, None]:
        """Answer one question piece by piece; the pieces together are what `ask` returns.

        A word is yielded once it is complete. Generation stops when the generator is closed or left.

        Args:
            clip: clip, as for `ask`; None for a question without one.
            question: question.
            before: earlier questions about the clip and their answers.

        Raises:
            ValueError: the clip cannot be read, or the question is too long; at once, not at the first piece.
        """
        return self._pieces(self._inputs([clip], [question], before))

    def read(self, clip: Clip) -> ClipRead:
        """Return which frames of a clip the model is shown, and how they were read.

        Raises:
            ValueError: the clip cannot be read, with the line that `ask` gives for it.
        """
        return self.processor.parts()[0].read(clip)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model in the form of transformers, with the card of the folder that it was loaded from."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)
        card = self.source and self.source / "README.md"
        if card and card.is_file() and card.resolve() != (Path(folder) / "README.md").resolve():
            shutil.copyfile(card, Path(folder) / "README.md")

    def push_to_hub(self, repo_id: str, private: bool | None = None, token: str | None = None) -> str:
        """Upload the model, with the card of the folder that it was loaded from, and return the address of the commit.

        Args:
            repo_id: name of the repository, which is created if it does not exist.
            private: whether a new repository is private. Default: as the account is set.
            token: access token. Default: that of `hf auth login`.
        """
        hub = HfApi(token=token)
        repo_id = hub.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return str(hub.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Video-Panda").commit_url)

    def _inputs(self, clips: Sequence[Clip | None], questions: Sequence[str], before: Turns) -> BatchFeature:
        room: int = self.model.generation_config.max_new_tokens
        inputs = self.processor(list(questions), list(clips), [before] * len(questions), max_new_tokens=room)
        return inputs.to(self.model.device)

    def _answers(self, clips: Sequence[Clip], questions: Sequence[str], before: Turns) -> list[str]:
        inputs = self._inputs(clips, questions, before)
        return self.processor.batch_decode(self._generate(inputs)[:, inputs["input_ids"].shape[1] :])

    @torch.inference_mode()
    def _generate(self, inputs: BatchFeature, **options: Any) -> torch.Tensor:
        with torch.autocast(self.model.device.type, self.autocast, enabled=self.autocast is not None):
            ids: torch.Tensor = self.model.generate(**inputs, **options)
            return ids

    def _pieces(self, inputs: BatchFeature) -> Generator[str, None, None]:
        stop = Event()
        streamer = _Pieces(self.processor.tokenizer)
        criteria = StoppingCriteriaList([_Stop(stop)])

        def run() -> None:
            try:
                self._generate(inputs, streamer=streamer, stopping_criteria=criteria)
            except BaseException as error:  # for the reader, in whose thread it is raised
                streamer.queue.put(error)

        thread = Thread(target=run, daemon=True)
        thread.start()
        try:
            held = ""  # space that may be the last, which `ask` does not return
            started = False
            while (piece := streamer.queue.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                text = held + piece if started else piece.lstrip()
                said = text.rstrip()
                held = text[len(said) :]
                if said:
                    started = True
                    yield said
        finally:
            stop.set()
            thread.join()


class _Pieces(TextStreamer):
    """Puts pieces of text into a queue, and None after the last."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.queue: Queue[str | BaseException | None] = Queue()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.queue.put(text)
        if stream_end:
            self.queue.put(None)


class _Stop(StoppingCriteria):
    """Ends generation when an event is set."""

    def __init__(self, event: Event) -> None:
        self.event = event

    def __call__(self, input_ids: torch.Tensor, scores: Any, **options: Any) -> torch.Tensor:
        return torch.full((len(input_ids),), self.event.is_set(), dtype=torch.bool, device=input_ids.device)
