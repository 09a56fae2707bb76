"""A local causal language model as a judge, which is reproducible and free of charge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ablation.judging.judge import JudgeError, JudgeIdentity
from ablation.judging.prompted import JudgePrompt, Messages, NoReply, PromptedJudge, Reply

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Tensor


class LocalJudge(PromptedJudge):
    """A judge that prompts a Hugging Face language model with its chat template, and decodes greedily.

    The system message is put in front of the user message, because not every template supports one. A comparison with
    an unreadable reply is not asked again, because the reply would be the same.
    """

    def __init__(
        self,
        model: str,
        prompt: str | None = None,
        variables: dict[str, str | bool] | None = None,
        dtype: Literal["float32", "bfloat16"] = "bfloat16",
        device: str | None = None,
        batch_size: int = 16,
        max_new_tokens: int = 64,
    ) -> None:
        """Load the model.

        Args:
            model: name on the Hugging Face hub, or folder.
            prompt: file with the prompt; default: the prompts of this package.
            variables: further variables of the chat template, as `{enable_thinking: false}` for Qwen 3.
            dtype: number format of the weights.
            device: device of the model, such as cpu, cuda or cuda:1; default: a GPU if there is one.
            batch_size: number of answers per batch.
            max_new_tokens: maximum number of tokens of a reply.

        Raises:
            ValueError: the model or the prompt cannot be read, the model has no chat template, or a number is not
                positive.
        """
        # Imported here, so that judges without a model start quickly.
        import torch

        from components.fingerprint import fingerprint
        from components.language_models import ChatTemplate, PretrainedCausalLM

        super().__init__(JudgePrompt(prompt), asks=1)
        for name, value in (("batch_size", batch_size), ("max_new_tokens", max_new_tokens)):
            if value < 1:
                raise ValueError(f"judge.init_args.{name} is {value}; it must be at least 1")
        try:
            self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except RuntimeError:
            raise ValueError(f"judge.init_args.device is {device!r}; it must be like cpu, cuda or cuda:1") from None
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"judge.init_args.device is {device}, but torch finds no CUDA device here; use cpu")
        try:
            self.model = PretrainedCausalLM(model, lambda: ChatTemplate(variables=variables), dtype)
        except ValueError as error:
            raise JudgeError(f"judge.init_args.model: {error}") from error
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens
        settings = {
            "judge": type(self).__name__,
            "template": str(self.model.text.tokenizer.chat_template),
            "variables": variables or {},
            "dtype": dtype,
            "max_new_tokens": max_new_tokens,
        }
        weights = fingerprint(self.model.network.state_dict().items())
        self._identity = JudgeIdentity.of(model.rstrip("/").rsplit("/", 1)[-1], weights, self.prompt.text, settings)
        self.model.requires_grad_(False).eval().to(self.device)

    @property
    def identity(self) -> JudgeIdentity:
        """Name of the model, hash of its weights, prompt and settings."""
        return self._identity

    @property
    def room(self) -> int:
        """Longest question in tokens."""
        return self.model.max_length - self.max_new_tokens

    def question_ids(self, messages: Messages) -> Int64[Tensor, " length"]:
        """Return the ids of a conversation, up to where the reply begins."""
        return self.model.text.encode_question([], f"{messages.system}\n\n{messages.user}".strip(), with_clip=False)

    def too_long(self, question: Int64[Tensor, " length"]) -> str:
        """Return why a question has no reply."""
        return f"the question has {len(question)} tokens, and the judge takes {self.room} before its reply"

    def replies(self, messages: Sequence[Messages]) -> list[Reply | NoReply]:
        """Generate the replies to all conversations in one batch; those that are too long have none."""
        from components.splice import PaddingSide, plan_splice

        text = self.model.text
        ids = [self.question_ids(message) for message in messages]
        fitting = [index for index, tokens in enumerate(ids) if len(tokens) <= self.room]
        replies: list[Reply | NoReply] = [NoReply(self.too_long(tokens)) for tokens in ids]
        if not fitting:
            return replies
        plan = plan_splice(
            [ids[index] for index in fitting],
            [],
            None,
            padding_side=PaddingSide.LEFT,
            pad_id=text.pad_id,
            max_length=self.room,
        ).to(self.device)
        new = self.model.generate(self.model.embed(plan.input_ids), plan, self.max_new_tokens)
        for index, reply in zip(fitting, new.cpu(), strict=True):
            replies[index] = Reply(text.decode(reply))
        return replies
