"""A local causal language model as a judge by likelihood, for small ones, whose written replies cannot be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ablation.judging.judge import BEST_SCORE, Comparison, Judgement
from ablation.judging.local import LocalJudge

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor
    from transformers import PreTrainedModel

SCORES = range(BEST_SCORE + 1)
VERDICTS = [f'{{"pred": "{pred}", "score": {score}}}' for pred in ("yes", "no") for score in SCORES]
ASPECTS = [f'{{"score": {score}}}' for score in SCORES]
LONGEST = 40  # tokens of a reply; the longest has 28 characters


class LikelihoodJudge(LocalJudge):
    """A judge that compares how likely a language model finds each reply that its prompt allows, and generates none.

    The replies are those that `LocalJudge` would read: `{"pred": "yes", "score": 0}` and so on, each with its
    probability, normalised over all of them. An answer is right if "yes" is likelier than "no", and its score is the
    expected one. That scale is ours: it cannot be compared with the scores of judges that write their replies. A small
    model copies the example in the prompt, and says yes to nearly everything (docs/data.md).
    """

    def __init__(
        self,
        model: str,
        prompt: str | None = None,
        variables: dict[str, str | bool] | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
        device: str | None = None,
    ) -> None:
        """Load the model.

        Args:
            model: name on the Hugging Face hub, or folder.
            prompt: file with the prompt; default: the prompts of this package.
            variables: further variables of the chat template, as `{enable_thinking: false}` for Qwen 3.
            dtype: number format of the weights; bfloat16 rounds small differences away.
            device: device of the model, such as cpu, cuda or cuda:1; default: a GPU if there is one.

        Raises:
            ValueError: the model or the prompt cannot be read, or the model has no chat template.
        """
        super().__init__(model, prompt, variables, dtype, device, batch_size=1, max_new_tokens=LONGEST)

    def judge(self, comparisons: Sequence[Comparison]) -> list[Judgement]:
        """Judge the comparisons; those that are too long for the model are unjudged."""
        return [self._judge(comparison) for comparison in comparisons]

    def _judge(self, comparison: Comparison) -> Judgement:
        text = self.model.text
        replies = VERDICTS if comparison.aspect is None else ASPECTS
        ids = text.tokenizer(replies, add_special_tokens=False, split_special_tokens=True).input_ids
        question = self.question_ids(self.prompt.messages(comparison))
        if len(question) > self.room:
            return Judgement(unjudged=self.too_long(question))
        logs = log_likelihoods(self.model.network, question.to(self.device), ids).cpu()
        chances = logs.softmax(0).view(-1, len(SCORES))
        score = round(float((chances.sum(0) * chances.new_tensor(SCORES)).sum()), 3)
        if comparison.aspect is not None:
            return Judgement(score=score, reply=json.dumps({"score": score}))
        yes = float(chances[0].sum())
        return Judgement(right=yes > 0.5, score=score, reply=json.dumps({"yes": round(yes, 4), "score": score}))


def log_likelihoods(
    network: PreTrainedModel, question: Int64[Tensor, " length"], replies: Sequence[Sequence[int]]
) -> Float[Tensor, " replies"]:
    """Return the logarithm of each reply's probability after a question, which is read only once.

    Args:
        network: causal language model of transformers.
        question: ids of the question, on the device of the network.
        replies: ids of each reply, which need not be equally long.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers import DynamicCache

    from components.language_models.greedy import CACHE_ARGUMENT

    ids = pad_sequence([torch.tensor(reply) for reply in replies], batch_first=True, padding_value=-1)
    ids = ids.to(question.device)
    known = ids.clamp(min=0)  # what is read at padding does not matter: it comes after all that counts
    cache = DynamicCache(config=network.config)
    with torch.inference_mode():
        first = network(question[None], use_cache=True, logits_to_keep=1, **{CACHE_ARGUMENT: cache}).logits
        cache.batch_repeat_interleave(len(replies))
        rest = network(known[:, :-1], use_cache=True, **{CACHE_ARGUMENT: cache}).logits
    logits = torch.cat([first.expand(len(replies), -1, -1), rest], dim=1)
    own = logits.float().log_softmax(-1).gather(-1, known[..., None])[..., 0]
    return own.where(ids >= 0, 0).sum(1)
