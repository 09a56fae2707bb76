"""Attention weights are those that the forward pass uses: with them, the ordinary formulation gives its output."""

import pytest
import torch

from components.distillation.alignment import AlignmentHead
from components.groups import Groups
from components.stab import FSRA, GSTRA, LSD, LearnedQueryLSD, MaskedGSTRA
from components.stab.grid import Chunks, ValidArea

WIDTH, HEADS = 24, 4
FRAMES = Groups.of_sizes(torch.tensor([3, 5, 1]))
CHUNKS = Chunks.of_clips(torch.tensor([3, 2]), torch.tensor([2, 1, 2]))
VALID = ValidArea.of_rectangles(torch.tensor([[0, 1, 2, 2]]).expand(5, 4), (3, 4))


def perturbed(part):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return part.double().eval()


def numbers(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def attended(attention, weights, tokens):
    """Weigh the values of tokens (groups, tokens, width) as usual, by weights (groups, heads, tokens)."""
    values = attention.key_value(attention.token_norm(tokens)).chunk(2, -1)[1].unflatten(-1, (HEADS, -1))
    return attention.output(torch.einsum("ght,gthd->ghd", weights, values).flatten(1))


@pytest.mark.parametrize("kind", [LSD, LearnedQueryLSD])
def test_of_windows(kind):
    part, windows = perturbed(kind(WIDTH, HEADS)), numbers(9, 4, WIDTH)
    weights = part.attention_weights(windows, FRAMES)
    torch.testing.assert_close(weights.sum(-1), torch.ones(9, HEADS, dtype=torch.float64))
    assert weights.std() > 0.05
    beside = windows.mean(1) if kind is LSD else part.query
    torch.testing.assert_close(part(windows, FRAMES), beside + attended(part.attention, weights, windows))


def test_of_frames():
    part, tokens = perturbed(FSRA(WIDTH, HEADS)), numbers(9, WIDTH)
    weights = part.attention_weights(tokens, FRAMES)
    sums = torch.zeros(3, HEADS, dtype=torch.float64).index_add(0, FRAMES.group, weights)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    expected = [
        part.class_embedding + attended(part.attention, own.T[None], seen[None])
        for own, seen in zip(weights.split([3, 5, 1]), tokens.split([3, 5, 1]), strict=True)
    ]
    torch.testing.assert_close(part(tokens, FRAMES), torch.cat(expected))


@pytest.mark.parametrize("kind", [GSTRA, MaskedGSTRA])
def test_of_chunks(kind):
    part, encoded = perturbed(kind(WIDTH, 0.0, HEADS)), numbers(5, 3, 4, WIDTH)
    weights = part.attention_weights(encoded, CHUNKS, VALID)
    padding = weights[~VALID.inside.flatten(1)]
    assert (padding == 0).all() if kind is MaskedGSTRA else (padding > 0).all()
    expected = []
    for own, seen in zip(weights.split([2, 1, 2]), encoded.split([2, 1, 2]), strict=True):
        torch.testing.assert_close(own.sum((0, 1)), torch.ones(HEADS, dtype=torch.float64))
        video = part.query + attended(part.attention, own.flatten(0, 1).T[None], seen.flatten(0, 2)[None])
        expected.append(video + part.feed_forward(part.feed_forward_norm(video)))
    torch.testing.assert_close(part(encoded, CHUNKS, VALID), torch.cat(expected))


def test_a_hidden_state_that_is_the_only_one_to_answer_predicts_alone():
    states = [numbers(6, 16), numbers(6, 16) + 1, numbers(6, 16) - 1]
    two = perturbed(AlignmentHead(16, WIDTH, 2, HEADS))
    torch.testing.assert_close(two.of_single_layers(states[:2])[0], two(states[:2]))
    three = perturbed(AlignmentHead(16, WIDTH, 3, HEADS))
    first, second = three.of_single_layers(states)
    assert not torch.allclose(first, second)
    # Two that answer alike are one.
    three.projections[2].load_state_dict(three.projections[1].state_dict())
    alike = [states[0], states[1], states[1]]
    torch.testing.assert_close(three.of_single_layers(alike)[1], three(alike))
