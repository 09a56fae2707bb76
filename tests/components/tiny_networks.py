"""Networks of the usual families with a few random weights, as large as they need to be to behave like large ones."""

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from components.language_models.tiny_causal_lm import build_tiny_tokenizer

FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "phi3": (Phi3Config, Phi3ForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM),
}
WIDTH, LAYERS = 32, 3
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ':\n' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)


@torch.no_grad()
def tiny_network(family, width=WIDTH, layers=LAYERS, max_length=128, seed=0):
    """A network with random weights that are large enough for what a token attends to to show."""
    config_class, network_class = FAMILIES[family]
    torch.manual_seed(seed)
    config = config_class(
        vocab_size=len(build_tiny_tokenizer()) + 1,  # the tokenizer of one family adds a token
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=width // 2,
        max_position_embeddings=max_length,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        initializer_range=0.2,
    )
    return network_class(config).eval()


def save_tiny_network(family, folder, **changes):
    tiny_network(family, **changes).save_pretrained(folder)
    tokenizer = build_tiny_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return str(folder)
