"""Small pretrained networks with an adapter, and inputs for them."""

import torch

from components.adapters import LoRA
from components.language_models import PretrainedCausalLM, ShortPrompt
from components.splice import PaddingSide, plan_splice, splice
from tests.components.tiny_networks import WIDTH

TURNS = [("What colour is it?", "It is red.")]


def adapted(folder, adapter=lambda: LoRA(rank=4, dropout=0), **options):
    return PretrainedCausalLM(folder, prompt=ShortPrompt, adapter=adapter, **options)


@torch.no_grad()
def disturb(model):
    """As if trained: B starts at zero, with which an adapter does nothing."""
    generator = torch.Generator().manual_seed(3)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.03)
    return model.eval()


def inputs(model, visual, side=PaddingSide.RIGHT):
    answered = side is PaddingSide.RIGHT
    encoded = model.text.encode(TURNS)
    plan = plan_splice(
        [encoded.input_ids if answered else model.text.encode_question([], TURNS[0][0])],
        [len(visual)],
        [encoded.labels] if answered else None,
        padding_side=side,
        pad_id=model.text.pad_id,
        max_length=model.max_length,
    )
    return splice(model.embed(plan.input_ids), visual, plan), plan


def learning(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def visual_tokens():
    return torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1))
