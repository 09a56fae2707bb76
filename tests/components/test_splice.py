"""Splicing against numbers of the official code, and its properties."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from components.splice import IGNORED_LABEL, PLACEHOLDER, PaddingSide, plan_splice, splice

GOLDEN = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parents[1] / "golden"))
CASES = json.loads((GOLDEN / "splice.json").read_text())["cases"]
ARRAYS = np.load(GOLDEN / "splice.npz")


def plan(ids, counts, labels=None, side=PaddingSide.RIGHT, pad_id=0, max_length=100):
    ids = [torch.tensor(row, dtype=torch.int64) for row in ids]
    labels = labels and [torch.tensor(row, dtype=torch.int64) for row in labels]
    return plan_splice(ids, counts, labels, padding_side=side, pad_id=pad_id, max_length=max_length)


def official_visual_tokens(case):
    """Recognisable tokens, as the golden numbers were made with: their count per placeholder, and the tokens."""
    videos, images = iter(enumerate(case["vids"])), iter(enumerate(case["imgs"]))
    counts, tokens = [], []
    for kind, row in zip(case["kind"], case["ids"], strict=True):
        if kind == "v":
            v, frames = next(videos)
            counts += frames
            tokens += [[-1, v, frame, k] for frame, count in enumerate(frames) for k in range(count)]
        else:
            v, count = next(images)
            if PLACEHOLDER in row:  # else a dummy image, which the official code cuts away
                counts.append(count)
                tokens += [[-2, v, 0, k] for k in range(count)]
    return counts, torch.tensor(tokens, dtype=torch.float32)


@pytest.mark.parametrize("mode", ["train", "noattn", "infer"])
@pytest.mark.parametrize("side", PaddingSide, ids=lambda side: side.value)
@pytest.mark.parametrize("case", CASES)
def test_equals_official(case, side, mode):
    def array(name):
        key = f"{case}/{side.value}/{mode}/{name}"
        return torch.from_numpy(ARRAYS[key]) if key in ARRAYS else None

    ids, kept, labels = array("input_ids"), array("in_attention_mask"), array("in_labels")
    kept = torch.ones_like(ids, dtype=torch.bool) if kept is None else kept.bool()  # without a mask, padding is text
    rows = [row[keep] for row, keep in zip(ids, kept, strict=True)]
    label_rows = None if labels is None else [row[keep] for row, keep in zip(labels, kept, strict=True)]
    counts, visual_tokens = official_visual_tokens(CASES[case])

    ours = plan_splice(rows, counts, label_rows, padding_side=side, pad_id=0, max_length=100)
    text = torch.nn.functional.pad(ours.input_ids[..., None].float(), (0, 3))
    text[..., 1] = 7
    mask = ours.attention_mask.bool()
    # The official code pads with zeros; what is under the mask does not matter.
    embeddings = splice(text, visual_tokens, ours).masked_fill(~mask[..., None], 0)

    torch.testing.assert_close(embeddings, array("embeds"), rtol=0, atol=0)
    if labels is not None:
        assert torch.equal(ours.labels, array("labels"))
    if mode != "noattn":
        assert torch.equal(mask, array("attention_mask").bool())


IDS = [[5, PLACEHOLDER, 6, 7], [8, 9], [PLACEHOLDER, PLACEHOLDER, 4], []]
LABELS = [[IGNORED_LABEL, IGNORED_LABEL, 6, 7], [IGNORED_LABEL, 9], [IGNORED_LABEL] * 3, []]
COUNTS = [3, 2, 1]


def test_sides_differ_only_in_where_the_padding_is():
    left, right = (plan(IDS, COUNTS, LABELS, side) for side in (PaddingSide.LEFT, PaddingSide.RIGHT))
    for name in ("input_ids", "labels", "position_ids"):
        for sample in range(len(IDS)):
            rows = [getattr(p, name)[sample][p.attention_mask[sample].bool()] for p in (left, right)]
            assert torch.equal(*rows)
    visual = torch.randn(sum(COUNTS), 4)
    placed = [splice(torch.zeros(4, 6, 4), visual, p)[p.attention_mask.bool()] for p in (left, right)]
    assert torch.equal(*placed)
    assert left.attention_mask.sum(1).tolist() == right.attention_mask.sum(1).tolist() == [6, 2, 4, 0]
    assert left.attention_mask[:, -1].tolist() == [1, 1, 1, 0]
    assert right.attention_mask[:, 0].tolist() == [1, 1, 1, 0]


def test_written_out():
    ours = plan(IDS, COUNTS, LABELS, pad_id=1)
    no = IGNORED_LABEL
    assert ours.input_ids.tolist()[:3] == [[5, 1, 1, 1, 6, 7], [8, 9, 1, 1, 1, 1], [1, 1, 1, 4, 1, 1]]
    assert ours.labels.tolist()[:3] == [[no, no, no, no, 6, 7], [no, 9, no, no, no, no], [no] * 6]
    assert ours.position_ids.tolist()[1] == [0, 1, 0, 0, 0, 0]
    assert ours.visual_positions.tolist() == [1, 2, 3, 12, 13, 14]
    assert ours.scored_columns.tolist() == [0, 3, 4]


def test_a_placeholder_is_never_a_label_or_an_id():
    ours = plan([[PLACEHOLDER, 3]], [2], [[PLACEHOLDER, 3]])
    assert ours.labels.tolist() == [[IGNORED_LABEL, IGNORED_LABEL, 3]]
    assert (ours.input_ids >= 0).all()


def test_gradients_reach_text_and_visual_tokens_but_not_what_was_replaced():
    ours = plan(IDS, COUNTS)
    text, visual = torch.randn(4, 6, 2, requires_grad=True), torch.randn(6, 2, requires_grad=True)
    weights = torch.rand(4, 6, 2) + 1
    (splice(text, visual, ours) * weights).sum().backward()
    replaced = torch.zeros(24, dtype=torch.bool).index_fill(0, ours.visual_positions, True)
    assert torch.equal(visual.grad, weights.flatten(0, 1)[replaced])
    assert torch.equal(text.grad.flatten(0, 1)[~replaced], weights.flatten(0, 1)[~replaced])
    assert not text.grad.flatten(0, 1)[replaced].any()


def test_visual_tokens_take_the_dtype_of_the_text():
    placed = splice(torch.zeros(1, 2, 2, dtype=torch.bfloat16), torch.ones(1, 2), plan([[PLACEHOLDER, 3]], [1]))
    assert placed.dtype is torch.bfloat16
    assert placed[0, 0].tolist() == [1, 1]


def test_text_only_batch():
    ours = plan([[1, 2], [3]], [])
    text = torch.randn(2, 2, 3)
    assert torch.equal(splice(text, torch.empty(0, 3), ours), text)


@pytest.mark.parametrize("counts", [[3, 2], [3, 2, 1, 1]])
def test_wrong_number_of_placeholders(counts):
    with pytest.raises(ValueError, match=f"3 placeholders.*{len(counts)} clips"):
        plan(IDS, counts)


def test_too_long():
    plan(IDS, COUNTS, max_length=6)
    with pytest.raises(ValueError, match=r"sample 0 .* 6 tokens .* takes 5"):
        plan(IDS, COUNTS, max_length=5)


def test_to_moves_every_tensor():
    moved = plan(IDS, COUNTS, LABELS).to("meta")
    devices = {value.device.type for value in vars(moved).values() if isinstance(value, torch.Tensor)}
    assert devices == {"meta"}
    assert moved.padding_side is PaddingSide.RIGHT
