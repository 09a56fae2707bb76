"""A small language model, and conversations about videos for it."""

import torch

from components.language_models import TinyLlama
from components.splice import PaddingSide, plan_splice, splice

TURNS = [
    [("What colour is the circle?", "It is red.")],
    [("Which way?", "Left."), ("How fast does it move to the left of the square?", "Slowly.")],
    [("Is it a dog?", "No, it is a cat on a table.")],
]


COUNTS = [7, 2, 12]


def small_llama():
    torch.manual_seed(0)
    return sharpened(TinyLlama(width=32, layers=2, heads=2, max_length=128))


def save_small_llama(folder):
    model = small_llama()
    model.network.save_pretrained(folder)
    model.text.tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def sharpened(model):
    """Fresh weights are so small that what a token attends to would hardly show."""
    for weight in model.parameters():
        weight.mul_(5 if weight.ndim > 1 else 1)
    return model.eval()


def training_inputs(model, samples, visual, side=PaddingSide.RIGHT):
    encoded = [model.text.encode(TURNS[i]) for i in samples]
    plan = plan_splice(
        [text.input_ids for text in encoded],
        [COUNTS[i] for i in samples],
        [text.labels for text in encoded],
        padding_side=side,
        pad_id=model.text.pad_id,
        max_length=model.max_length,
    )
    return splice(model.embed(plan.input_ids), torch.cat([visual[i] for i in samples]), plan), plan


def generation_inputs(model, samples, visual):
    plan = plan_splice(
        [model.text.encode_question(TURNS[i][:-1], TURNS[i][-1][0]) for i in samples],
        [COUNTS[i] for i in samples],
        None,
        padding_side=PaddingSide.LEFT,
        pad_id=model.text.pad_id,
        max_length=model.max_length,
    )
    return splice(model.embed(plan.input_ids), torch.cat([visual[i] for i in samples]), plan), plan


def visual_tokens():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(count, 32, generator=generator) for count in COUNTS]
