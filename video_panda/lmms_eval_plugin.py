"""The model `video_panda` of lmms-eval: `python -m lmms_eval --model video_panda --model_args pretrained=models/full`.

Only lmms-eval imports this file, by the entry point `lmms_eval.models`; docs/lmms_eval.md says how both are installed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from PIL.Image import Image

from video_panda.model import AT_ONCE, VideoPanda

log = logging.getLogger(__name__)
KNOWN = ("until", "max_new_tokens", "do_sample", "temperature", "top_p", "top_k", "num_beams")


class LmmsVideoPanda(lmms):  # type: ignore[misc]  # lmms-eval is not there when types are checked
    """Answers the requests of lmms-eval as `VideoPanda.ask` does: greedily, with clips read as in the run's test.

    A document's visual is the path of a video or picture; or pictures in memory, which are the frames of one clip.
    """

    def __init__(
        self, pretrained: str, device: str | None = None, revision: str | None = None, batch_size: int | str = AT_ONCE
    ) -> None:
        """Load a model.

        Args:
            pretrained: what `VideoPanda.from_pretrained` loads.
            device: device to load it on. Default: the GPU if there is one.
            revision: branch, tag or commit of a repository.
            batch_size: number of questions per batch, up to 8; `auto` is 8.

        Raises:
            ValueError: there is no such model, or the batch size is not from 1 to 8.
        """
        super().__init__()
        self.batch_size = AT_ONCE if batch_size == "auto" else int(batch_size)
        if not 1 <= self.batch_size <= AT_ONCE:
            raise ValueError(f"--batch_size is {batch_size}; it must be from 1 to {AT_ONCE}, or auto")
        self.panda = VideoPanda.from_pretrained(pretrained, device=device, revision=revision)
        self.device = self.panda.model.device
        self._own_limit = self.panda.model.generation_config.max_new_tokens

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answer questions, in batches of those with the same `generation_kwargs`.

        Raises:
            ValueError: a clip cannot be read, a question is too long, or the task does not want greedy answers.
        """
        answers: list[str] = []
        for settings, alike in groupby(requests, lambda request: request.args[1]):
            for batch in self._batches([*alike]):
                answers += self._answers(*self._asked(batch), settings)
        return answers

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[list[str]]:
        """Answer in rounds: the task makes the next question, with a clip of its own, from the answers so far.

        Raises:
            ValueError: as in `generate_until`.
        """
        of_requests = []
        for request in requests:
            question, settings, to_visual, to_text, *place = request.args
            document, done, info = self._document(*place), False, None
            visuals, answers = to_visual and to_visual(document), list[str]()
            while not done:
                answers = [*answers, *self._answers([question], [_clip(visuals)], settings)]
                visuals, question, done, answers, info = to_text(
                    document, previous_output=answers, round_idx=len(answers), previous_round_info=info
                )
            of_requests.append(answers)
        return of_requests

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Refuse tasks that are answered by likelihood.

        Raises:
            ValueError: always: lmms-eval 0.7.3 turns likelihoods into text before it scores them, whatever the model.
        """
        task = requests[0].args[-2]
        raise ValueError(f"{task} is scored by likelihoods, which lmms-eval 0.7.3 cannot read; generate_until is known")

    def _answers(self, questions: Sequence[str], clips: Sequence[Any], settings: Mapping[str, Any]) -> list[str]:
        warmth = settings.get("temperature", float(bool(settings.get("do_sample")))) or 0
        if (warmth > 0 and settings.get("do_sample", True)) or (settings.get("num_beams") or 1) > 1:
            raise ValueError(f"{settings}: video_panda answers greedily; --gen_kwargs do_sample=False,num_beams=1")
        if others := sorted({*settings} - {*KNOWN}):
            log.warning("generation_kwargs without effect on video_panda: %s", ", ".join(others))
        self.panda.model.generation_config.max_new_tokens = settings.get("max_new_tokens") or self._own_limit
        answers, until = self.panda.ask(clips, questions), settings.get("until") or []
        for end in filter(None, [until] if isinstance(until, str) else until):
            answers = [answer.partition(end)[0].rstrip() for answer in answers]
        return answers

    def _batches(self, requests: Sequence[Instance]) -> list[Sequence[Instance]]:
        return [requests[start : start + self.batch_size] for start in range(0, len(requests), self.batch_size)]

    def _asked(self, requests: Sequence[Instance]) -> tuple[list[str], list[Any]]:
        questions, _, to_visuals, *places = zip(*(request.args for request in requests), strict=True)
        documents = map(self._document, *places)
        visuals = [make and make(document) for make, document in zip(to_visuals, documents, strict=True)]
        return [*questions], [*map(_clip, visuals)]

    def _document(self, number: int, task: str, split: str) -> Any:
        return self.task_dict[task][split][number]


def _clip(visuals: Sequence[Any] | None) -> Any:
    """Return the clip of a document as `VideoPanda.ask` takes it; None if it has none."""
    if not visuals or all(isinstance(visual, Image) for visual in visuals):
        return list(visuals or []) or None
    if len(visuals) > 1 or not isinstance(visuals[0], str):
        kinds = ", ".join(type(visual).__name__ for visual in visuals)
        raise ValueError(f"a document has as visuals {kinds}; video_panda takes one path, or pictures")
    return visuals[0]


def manifest() -> ModelManifest:
    """Return name and class of the model, for lmms-eval's registry."""
    return ModelManifest("video_panda", simple_class_path=f"{__name__}.{LmmsVideoPanda.__name__}")
