"""Logits, loss and greedy answers of the whole model against the official implementation.

The largest differences are printed: pytest -s.
"""

import pytest
import torch

from components.splice import PaddingSide, plan_splice, splice
from tests.components.official_model import FACTS, SIZES, official_model, visual_tokens, without_repeats
from tests.golden_formula import read_arrays

ARRAYS = {name: torch.from_numpy(array) for name, array in read_arrays("full_model.npz").items()}
CLIPS = range(len(SIZES["samples"]))


@pytest.fixture(scope="module")
def model():
    return official_model().eval()


def spliced(model, clips, ids, labels=None, side=PaddingSide.RIGHT, frames=None):
    """Embeddings and plan of samples with one clip each."""
    layout, tokens = visual_tokens(model, clips, **({} if frames is None else {"frames": frames}))
    plan = plan_splice(ids, layout.token_counts, labels, padding_side=side, pad_id=0, max_length=2048)
    return splice(model["language_model"].embed(plan.input_ids), tokens, plan), plan


def training_samples(clips):
    rows = (ARRAYS[f"train/{name}"][list(clips)] for name in ("input_ids", "in_labels"))
    return zip(*(without_repeats(*row) for row in zip(*rows, strict=True)), strict=True)


@torch.no_grad()
def everywhere(model, embeddings, plan):
    """Logits of all tokens, and the hidden states."""
    output = model["language_model"].network(
        inputs_embeds=embeddings,
        attention_mask=plan.attention_mask,
        position_ids=plan.position_ids,
        output_hidden_states=True,
    )
    return output.logits, output.hidden_states


def close(name, computed, expected, tolerance=1e-4):
    difference = float((computed.double() - expected.double()).abs().max())
    print(f"\n{name}: {difference:.1e}")
    assert computed.shape == expected.shape
    assert difference < tolerance


@torch.no_grad()
def test_loss_and_logits_of_a_batch(model):
    ids, labels = training_samples(CLIPS)
    embeddings, plan = spliced(model, CLIPS, ids, labels)
    close("loss", model["language_model"](embeddings, plan).loss, ARRAYS["eval/lm_loss"])
    logits, states = everywhere(model, embeddings, plan)
    token = plan.attention_mask.bool()
    every = ARRAYS["eval/logits_every4"]
    assert every.shape[1] == -(-logits.shape[1] // 4)
    close("logits", logits[:, ::4][token[:, ::4]], every[token[:, ::4]])
    whole = token.all(1)  # the official padding has other embeddings, which no token sees
    assert whole.any()
    norms = torch.stack([state.double().flatten(1).norm(dim=1) for state in states], 1)
    torch.testing.assert_close(norms[whole], ARRAYS["eval/hidden_norms"][whole], rtol=1e-5, atol=0)


def test_a_sample_alone_gives_the_same(model):
    ids, labels = training_samples([0])
    logits, _ = everywhere(model, *spliced(model, [0], ids, labels))
    close("logits of a sample alone", logits[0, -32:], ARRAYS["eval/sample0_logits_last32"])


def test_an_image(model):
    embeddings, plan = spliced(model, [0], without_repeats(ARRAYS["image/input_ids"]), frames=1)
    close("logits with an image", everywhere(model, embeddings, plan)[0][0, ::2], ARRAYS["image/logits_every2"])


def prompts(clips):
    return [without_repeats(ARRAYS[f"generate/{clip}/prompt_ids"])[0] for clip in clips]


def test_the_first_new_token_has_the_same_logits(model):
    for clip in CLIPS:
        logits, _ = everywhere(model, *spliced(model, [clip], prompts([clip])))
        close(f"logits after prompt {clip}", logits[0, -1], ARRAYS[f"generate/{clip}/prompt_logits_last"])


@pytest.mark.parametrize("clips", [*([clip] for clip in CLIPS), list(CLIPS)], ids=str)
def test_greedy_answers(model, clips):
    embeddings, plan = spliced(model, clips, prompts(clips), side=PaddingSide.LEFT)
    answers = model["language_model"].generate(embeddings, plan, max_new_tokens=8)
    for clip, answer in zip(clips, answers, strict=True):
        expected = FACTS["generate"][clip]["new_ids"]
        assert answer[: len(expected)].tolist() == expected == ARRAYS[f"generate/{clip}/new_ids"].tolist()
        padding = model["language_model"].text.pad_id
        assert all(token == padding for token in answer[len(expected) :].tolist())


def test_prompts_of_the_answers_are_ours(model):
    for clip in CLIPS:
        text = model["language_model"].text
        ids = text.encode_question((), FACTS["generate"][clip]["question"])
        assert torch.equal(ids, prompts([clip])[0])
