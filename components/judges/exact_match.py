"""The judge that needs no model: the same words, after a normalisation that everyone can read."""

from __future__ import annotations

from collections.abc import Sequence

from components.judges.base import Comparison, Judge, JudgeIdentity, Judgement
from components.judges.normalisation import Normalisation, read_synonyms


class ExactMatch(Judge):
    """An answer is right if it has the words of the reference, in their order; it gets no score."""

    batch_size = 1000
    scores = False

    def __init__(self, synonyms: list[list[str]] | str = "") -> None:
        """Choose what counts as the same.

        Args:
            synonyms: groups of words or phrases that mean the same, or a YAML file of them; none by default.

        Raises:
            ValueError: the synonyms cannot be read, or contradict each other.
        """
        groups = (read_synonyms(synonyms) if synonyms else []) if isinstance(synonyms, str) else synonyms
        self.normalisation = Normalisation(groups)

    @property
    def identity(self) -> JudgeIdentity:
        """Its name and the hash of all its rules."""
        return JudgeIdentity.of("ExactMatch", "1", self.normalisation.rules, {"judge": type(self).__name__})

    def judge(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Compare words.

        Raises:
            ValueError: an aspect is asked for.
        """
        return [self._judge(comparison) for comparison in comparisons]

    def _judge(self, comparison: Comparison) -> Judgement:
        if comparison.aspect is not None:
            raise ValueError(f"ExactMatch tells right from wrong and gives no score for {comparison.aspect}")
        ours, theirs = self.normalisation(comparison.prediction), self.normalisation(comparison.reference)
        return Judgement(right=ours == theirs, reply=ours)
