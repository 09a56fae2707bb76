"""The likelihood of the right answer among all possible answers of its question, for the metric `LogLikelihood`.

The log-likelihood of an answer is the sum of the log-probabilities of its tokens after the same clip and question; a
log softmax over the possible answers makes their probabilities sum to one. At chance it is minus the logarithm of their
number; for a model that is certain and right it is 0.

The tokens that all answers begin with cancel, and are left out. So is the token that ends an answer, unless one answer
is the beginning of another one: then every scored token serves only to distinguish the answers.

Nearly all logits are those of the forward pass for the loss: if answers differ in one token, they cover all answers.
Only tokens after another beginning than the right answer's, as in "top left" and "bottom left", need further rows of
the same pass. So every batch takes one pass, and sharded processes run it together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from components.language_models import LanguageModel
from components.language_models.text import ChatText
from components.splice import IGNORED_LABEL, PaddingSide, SplicePlan, TooLongError, plan_splice, splice
from datamodules.batch import Batch

DIGITS = 6  # decimal places; further ones depend on the batch size


@dataclass
class CandidateInput:
    """The positions at which the tokens of all possible answers are predicted.

    Attributes:
        text: plan of the samples, followed by rows without labels for tokens that no sample's own row predicts.
        visual: index of the batch's visual token at each visual position.
        places: indices of the required logits in the flattened (rows, scored columns).
        predicted: index in `places` of the position that predicts each token.
        tokens: tokens of the answers, padded with -100.
        right: index of the right answer.
        samples: index of each question in the batch, on the host.
    """

    text: SplicePlan
    visual: Int64[Tensor, " visual"]
    places: Int64[Tensor, " places"]
    predicted: Int64[Tensor, "questions answers tokens"]
    tokens: Int64[Tensor, "questions answers tokens"]
    right: Int64[Tensor, " questions"]
    samples: list[int]

    def scores(
        self, language_model: LanguageModel, visual_tokens: Float[Tensor, "tokens width"]
    ) -> tuple[Tensor, dict[int, float]]:
        """Return the mean loss over the samples' answers, and index in the batch -> log-likelihood of the right answer.

        Questions without a known set of answers, or with a value that is not finite, have no entry.
        """
        embedded = language_model.embed(self.text.input_ids)
        output = language_model(splice(embedded, visual_tokens.index_select(0, self.visual), self.text), self.text)
        right = self.log_likelihoods(output.logits).gather(1, self.right[:, None]).flatten().tolist()
        finite = {place: value for place, value in zip(self.samples, right, strict=True) if math.isfinite(value)}
        return output.loss, {place: round(min(0.0, value), DIGITS) + 0.0 for place, value in finite.items()}

    def log_likelihoods(self, logits: Float[Tensor, "rows scored vocabulary"]) -> Float[Tensor, "questions answers"]:
        """Return the log-likelihood of each possible answer among those of its question; -inf for padding."""
        log_probabilities = logits.flatten(0, 1).index_select(0, self.places).float().log_softmax(dim=-1)
        is_token = self.tokens != IGNORED_LABEL
        token_scores = log_probabilities[self.predicted, self.tokens.clamp(min=0)].double()
        answers = token_scores.masked_fill(~is_token, 0.0).sum(dim=-1)
        return answers.masked_fill(~is_token.any(dim=-1), -math.inf).log_softmax(dim=-1)


@dataclass(frozen=True)
class _Beginning:
    """A row of the batch, with its tokens after the beginning that all answers share."""

    row: int
    tokens: list[int]

    def predicts(self, answer: Sequence[int]) -> bool:
        """Return whether the row predicts every token of `answer`: it has all of them except the last."""
        return len(self.tokens) >= len(answer) and self.tokens[: len(answer) - 1] == answer[:-1]


def plan_candidates(
    batch: Batch, text: SplicePlan, token_counts: Sequence[int], language_model: LanguageModel
) -> CandidateInput:
    """Compute on the host the positions at which the tokens of all possible answers of a batch are predicted.

    Args:
        batch: batch of questions.
        text: plan of the conversations in the batch.
        token_counts: number of visual tokens of each clip.
        language_model: provides the tokenizer and the maximum length.

    Raises:
        TooLongError: a question with one of its answers is too long.
    """
    shown = iter(token_counts)
    counts = [next(shown) if sample.video else 0 for sample in batch.samples]
    further: list[tuple[int, list[int], int]] = []  # sample, ids, number of ids that all its answers share
    questions, right, samples = [], [], []
    for place, sample in enumerate(batch.samples):
        if not (candidates := sample.answer_kind.candidates):
            continue
        assert sample.answer in candidates, f"{sample} has the answer {sample.answer!r}, of {candidates}"
        turns = sample.before, sample.question, sample.video != ""
        common, answers = _different_tokens(language_model.text, *turns, candidates)
        column = len(common) - 1 + max(0, counts[place] - 1)  # predicts the first token of the answers
        beginnings = [_Beginning(place, batch.input_ids[place].tolist()[len(common) :])]
        predictions: list[list[tuple[int, int, int]]] = [[] for _ in answers]  # row, column and token
        for number in sorted(range(len(answers)), key=lambda number: -len(answers[number])):
            answer = answers[number]
            beginning = next((row for row in beginnings if row.predicts(answer)), None)
            if beginning is None:
                beginning = _Beginning(len(batch.samples) + len(further), answer)
                beginnings.append(beginning)
                further.append((place, common + answer, len(common)))
            predictions[number] = [(beginning.row, column + offset, token) for offset, token in enumerate(answer)]
        questions.append(predictions)
        right.append(candidates.index(sample.answer))
        samples.append(place)
    visual = torch.arange(sum(token_counts))
    if further:
        text = _with_rows(batch, further, counts, language_model)
        clips = visual.split(counts)
        visual = torch.cat([visual, *(clips[place] for place, _, _ in further)])
    rows, columns, tokens = _padded(questions)
    scored = torch.searchsorted(text.scored_columns, columns)
    assert torch.equal(text.scored_columns[scored][tokens != IGNORED_LABEL], columns[tokens != IGNORED_LABEL])
    places, predicted = torch.unique(rows * len(text.scored_columns) + scored, return_inverse=True)
    return CandidateInput(text, visual, places, predicted, tokens, torch.tensor(right, dtype=torch.int64), samples)


@lru_cache(maxsize=1024)  # a small benchmark repeats its questions; uncached, this is a tenth of its time
def _different_tokens(
    text: ChatText, before: tuple[tuple[str, str], ...], question: str, with_clip: bool, candidates: tuple[str, ...]
) -> tuple[list[int], list[list[int]]]:
    """Return the tokens that a conversation begins with for all its answers, and the further tokens of each."""
    encoded = [
        text.encode([*before, (question, answer)], with_clip=with_clip).input_ids.tolist() for answer in candidates
    ]
    first, *others = encoded
    same = 0
    while all(same < len(ids) and ids[same] == first[same] for ids in others) and same < len(first):
        same += 1
    whole = [ids[same:] for ids in encoded]
    without_end = [ids[:-1] for ids in whole]
    ordered = sorted(without_end)
    needs_end = any(longer[: len(shorter)] == shorter for shorter, longer in pairwise(ordered))
    return first[:same], whole if needs_end else without_end


def _with_rows(
    batch: Batch, further: Sequence[tuple[int, list[int], int]], counts: Sequence[int], language_model: LanguageModel
) -> SplicePlan:
    """Return the plan of the samples, followed by further rows that do not count in the loss."""
    ids = [torch.tensor(row) for _, row, _ in further]
    labels = [torch.tensor([IGNORED_LABEL] * common + row[common:]) for _, row, common in further]
    owners = [*range(len(batch.samples)), *(place for place, _, _ in further)]
    try:
        plan = plan_splice(
            [*batch.input_ids, *ids],
            [counts[place] for place in owners if batch.samples[place].video],
            [*batch.labels, *labels],
            padding_side=PaddingSide.RIGHT,
            pad_id=language_model.text.pad_id,
            max_length=language_model.max_length,
        )
    except TooLongError as error:
        raise TooLongError({owners[row]: length for row, length in error.samples.items()}) from None
    plan.labels[len(batch.samples) :] = IGNORED_LABEL
    return plan


def _padded(questions: Sequence[Sequence[Sequence[tuple[int, int, int]]]]) -> Int64[Tensor, "3 questions answers _"]:
    """Return row, column and id of every token of every answer, padded with 0, 0 and -100."""
    answers = max((len(question) for question in questions), default=0)
    tokens = max((len(answer) for question in questions for answer in question), default=0)
    padding = (0, 0, IGNORED_LABEL)
    filled = [
        [[*answer, *[padding] * (tokens - len(answer))] for answer in [*question, *[()] * (answers - len(question))]]
        for question in questions
    ]
    shape = len(questions), answers, tokens, 3
    return torch.tensor(filled, dtype=torch.int64).reshape(shape).movedim(-1, 0).contiguous()
