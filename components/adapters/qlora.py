"""QLoRA: LoRA on a language model whose weights are stored in 4 bits."""

from __future__ import annotations

from peft import prepare_model_for_kbit_training
from transformers import PreTrainedModel

from components.adapters.base import is_quantized
from components.adapters.lora import KEY, LoRA


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
