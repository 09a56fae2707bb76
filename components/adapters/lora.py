"""LoRA and QLoRA: a low-rank change to linear layers whose own weights stay as they are."""

from __future__ import annotations

from typing import Literal

from peft import LoraConfig, TaskType, prepare_model_for_kbit_training
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from components.adapters.adapter import PeftAdapter, is_quantized, wrapped

KEY = "model.language_model.init_args.adapter"


class LoRA(PeftAdapter):
    """Low-rank adaptation (Hu et al. 2021): W x becomes W x + alpha / rank * B A x, and only A and B learn.

    B starts at zero, so the language model starts as it was.
    """

    def __init__(
        self,
        rank: int = 16,
        alpha: int = 32,
        dropout: float = 0.05,
        target_modules: list[str] | Literal["all-linear"] = "all-linear",
    ) -> None:
        """Choose size and places.

        Args:
            rank: width of the bottleneck between A and B.
            alpha: the change is multiplied by `alpha / rank`.
            dropout: share of the inputs of A that is dropped while training.
            target_modules: names of the linear layers to change, as `[q_proj, v_proj]`, or all but the output layer.

        Raises:
            ValueError: a value is out of range.
        """
        if rank < 1:
            raise ValueError(f"{KEY}.init_args.rank: {rank} is not at least 1")
        if alpha < 1:
            raise ValueError(f"{KEY}.init_args.alpha: {alpha} is not at least 1")
        if not 0 <= dropout < 1:
            raise ValueError(f"{KEY}.init_args.dropout: {dropout} is not a share in 0..1 (1 excluded)")
        if not target_modules:
            raise ValueError(f"{KEY}.init_args.target_modules is empty, so nothing would learn")
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.target_modules = target_modules

    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Put A and B beside every target.

        Raises:
            ValueError: a target does not exist, or the network is quantised.
        """
        if is_quantized(network):
            raise ValueError(f"LoRA on a quantised language model is QLoRA: set {KEY} to QLoRA")
        return self._wrap(network)

    def _wrap(self, network: PreTrainedModel) -> PreTrainedModel:
        self._check_targets(network)
        config = LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.target_modules,
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in network.modules()),
        )
        return wrapped(network, config)

    def _check_targets(self, network: PreTrainedModel) -> None:
        """Refuse names that are none, of which PEFT says nothing as long as one is right."""
        if self.target_modules == "all-linear":
            return
        layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | Conv1D)]
        absent = [
            target
            for target in self.target_modules
            if not any(name == target or name.endswith(f".{target}") for name in layers)
        ]
        if absent:
            known = sorted({name.rsplit(".", 1)[-1] for name in layers})
            raise ValueError(
                f"{KEY}.init_args.target_modules: {type(network).__name__} has no linear layer {', '.join(absent)}; "
                f"it has {', '.join(known)}"
            )


class QLoRA(LoRA):
    """LoRA on a quantised language model (Dettmers et al. 2023), whose norms and embeddings are then float32.

    It quantises nothing by itself: how the weights are stored is said where they are loaded (`quantization: NF4`), for
    a language model that is frozen as well as for one with this adapter.
    """

    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Put A and B beside every target.

        Raises:
            ValueError: a target does not exist, or the network is not quantised.
        """
        if not is_quantized(network):
            raise ValueError(
                f"{KEY} is QLoRA, but the weights of the language model are not quantised: use a PretrainedCausalLM "
                "with model.language_model.init_args.quantization set to NF4, or the adapter LoRA"
            )
        # Checkpointing is the language model's own setting.
        return self._wrap(prepare_model_for_kbit_training(network, use_gradient_checkpointing=False))
