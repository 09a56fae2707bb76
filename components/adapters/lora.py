"""LoRA and QLoRA: low-rank changes of linear layers whose own weights stay frozen."""

from __future__ import annotations

from typing import Literal

from peft import LoraConfig, TaskType, prepare_model_for_kbit_training
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from components.adapters.adapter import PeftAdapter, is_quantized, wrap

KEY = "model.language_model.init_args.adapter"


class LoRA(PeftAdapter):
    """Low-rank adaptation (Hu et al. 2021): W x becomes W x + alpha / rank * B A x, and only A and B are trained.

    B is initialised to zero, so the language model is unchanged at the start.
    """

    def __init__(
        self,
        rank: int = 16,
        alpha: int = 32,
        dropout: float = 0.05,
        target_modules: list[str] | Literal["all-linear"] = "all-linear",
    ) -> None:
        """Check the settings.

        Args:
            rank: rank of the change, the width of the bottleneck between A and B.
            alpha: scale of the change, which is multiplied by `alpha / rank`.
            dropout: dropout probability of the input of A, 0 to below 1.
            target_modules: names of the linear layers to change, such as `[q_proj, v_proj]`; `all-linear` changes all
                but the output layer.

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
        """Add A and B to every target.

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
        return wrap(network, config)

    def _check_targets(self, network: PreTrainedModel) -> None:
        """Refuse names of layers that do not exist, which PEFT accepts silently if at least one exists."""
        if self.target_modules == "all-linear":
            return
        layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | Conv1D)]
        absent = [
            target
            for target in self.target_modules
            if not any(name == target or name.endswith(f".{target}") for name in layers)
        ]
        if absent:
            existing = sorted({name.rsplit(".", 1)[-1] for name in layers})
            raise ValueError(
                f"{KEY}.init_args.target_modules: {type(network).__name__} has no linear layer {', '.join(absent)}; "
                f"it has {', '.join(existing)}"
            )


class QLoRA(LoRA):
    """LoRA on a quantised language model (Dettmers et al. 2023), whose norms and embeddings become float32.

    It does not quantise by itself: that is a setting of the language model (`quantization: NF4`), which may also be
    frozen and without an adapter.
    """

    def attach(self, network: PreTrainedModel) -> PreTrainedModel:
        """Add A and B to every target.

        Raises:
            ValueError: a target does not exist, or the network is not quantised.
        """
        if not is_quantized(network):
            raise ValueError(
                f"{KEY} is QLoRA, but the weights of the language model are not quantised: use a PretrainedCausalLM "
                "with model.language_model.init_args.quantization set to NF4, or the adapter LoRA"
            )
        # Gradient checkpointing is a setting of the language model.
        return self._wrap(prepare_model_for_kbit_training(network, use_gradient_checkpointing=False))
