"""How likely the right answer is among all: as a plain loop over them has it, in whichever batch."""

import csv
import json
import math

import pytest
import torch

from components.encoders.video_encoder import VideoShapes
from components.splice import PaddingSide, TooLongError, plan_splice, splice
from datamodules.batch import Batch, PackedClips, SampleFacts
from datamodules.records import Choice, FreeAnswer
from datamodules.shapes_in_motion import ANSWERS, FAMILIES, deal_answers, question
from datamodules.shapes_in_motion.settings import random_stream
from lightning_modules.callbacks.scalar_layout import layout
from lightning_modules.scoring.candidate_likelihood import plan_candidates
from tests.components.small_language_model import small_llama
from tests.lightning_modules.short_run import NO_LSTE, SHORT

TOKENS = 5  # of a clip
NOTHING = PackedClips(
    torch.empty(0, 3, 0, 0, dtype=torch.uint8), VideoShapes(torch.empty(0), torch.empty(0, 4), (0, 0))
)
LETTERS = ("A dog?\nA. yes\nB. no\nC. both", "B", Choice(["yes", "no", "both"]))
BEGINS_ALIKE = ("What is it?", "red", FreeAnswer(("red circle", "red", "a red circle", "red circle left", "blue")))
WORD_PIECES = ("Who?", "zebra", FreeAnswer(("zebra", "zebu", "ze", "circle")))


@pytest.fixture(scope="module")
def model():
    return small_llama()


def samples():
    """Every family of ShapesInMotion, letters, answers of several tokens, and what has none or no clip."""
    answers, rng = deal_answers(0, "test", 3), random_stream(0, "test", 2, 3)
    asked = [(*question(answers, family, rng), FreeAnswer(ANSWERS[family])) for family in FAMILIES]
    asked += [LETTERS, BEGINS_ALIKE, WORD_PIECES, ("How?", "slowly", FreeAnswer())]
    facts = [SampleFacts(f"{i}", "a.mp4", "all", (), *case[:2], case[2]) for i, case in enumerate(asked)]
    before = (("Which way?", "left."), ("Is it red?", "no"))
    facts.append(SampleFacts("before", "a.mp4", "all", before, *asked[-5][:2], asked[-5][2]))
    facts.append(SampleFacts("text", "", "all", (), *asked[7][:2], asked[7][2]))
    return facts


def batch_of(model, chosen):
    encoded = [
        model.text.encode([*sample.before, (sample.question, sample.answer)], with_clip=bool(sample.video))
        for sample in chosen
    ]
    return Batch(NOTHING, None, [text.input_ids for text in encoded], [text.labels for text in encoded], chosen)


def planned(model, chosen):
    """Return the plan of the samples, and that of their candidates."""
    batch, counts = batch_of(model, chosen), [TOKENS for sample in chosen if sample.video]
    text = plan_splice(
        batch.input_ids, counts, batch.labels, padding_side=PaddingSide.RIGHT, pad_id=model.text.pad_id,
        max_length=model.max_length,
    )  # fmt: skip
    return text, plan_candidates(batch, text, counts, model)


def clip(sample):
    """Return a clip's visual tokens, which are its own, so that another's would show."""
    generator = torch.Generator().manual_seed(sum(sample.question.encode()))
    return torch.randn(TOKENS * bool(sample.video), 32, generator=generator)


@torch.no_grad()
def by_loop(model, sample):
    """Return the log-likelihood of each candidate: one pass for each, over all tokens behind the question."""
    asked = len(model.text.encode_question(sample.before, sample.question, with_clip=bool(sample.video)))
    with_end = sample.answer_kind in (BEGINS_ALIKE[2], WORD_PIECES[2])
    values = []
    for candidate in sample.answer_kind.candidates:
        turns = [*sample.before, (sample.question, candidate)]
        encoded = model.text.encode(turns, with_clip=bool(sample.video))
        plan = plan_splice(
            [encoded.input_ids], [TOKENS] * bool(sample.video), [encoded.labels], padding_side=PaddingSide.RIGHT,
            pad_id=model.text.pad_id, max_length=model.max_length,
        )  # fmt: skip
        tokens = encoded.input_ids[asked : None if with_end else -1]
        hidden = splice(model.embed(plan.input_ids), clip(sample), plan)
        logits = model.network(inputs_embeds=hidden).logits[0].log_softmax(-1)
        end = logits.shape[0] - 1 - (not with_end)
        predicting = logits[end - len(tokens) : end]
        values.append(sum(row[token].item() for row, token in zip(predicting, tokens, strict=True)))
    return torch.tensor(values, dtype=torch.float64).log_softmax(0)


@torch.no_grad()
def in_one_pass(model, chosen):
    text, plan = planned(model, chosen)
    visual = torch.cat([clip(sample) for sample in chosen])
    embedded = splice(model.embed(plan.text.input_ids), visual.index_select(0, plan.visual), plan.text)
    return plan, plan.log_likelihoods(model(embedded, plan.text).logits), plan.scores(model, visual), (text, visual)


def test_it_is_that_of_a_plain_loop_and_probabilities_sum_to_one(model):
    chosen = samples()
    plan, values, (_, right), _ = in_one_pass(model, chosen)
    assert [chosen[place].id for place in plan.samples] == [
        sample.id for sample in chosen if sample.answer_kind.candidates
    ]
    assert torch.allclose(values.exp().sum(-1), torch.ones(len(plan.samples), dtype=torch.float64), atol=1e-12)
    for row, place in zip(values, plan.samples, strict=True):
        expected = by_loop(model, chosen[place])
        assert torch.allclose(row[: len(expected)], expected, atol=1e-5), chosen[place]
        assert torch.isneginf(row[len(expected) :]).all()
        assert expected.exp().max() - expected.exp().min() > 0.01, "or nothing is compared"
        number = chosen[place].answer_kind.candidates.index(chosen[place].answer)
        assert right[place] == pytest.approx(expected[number].item(), abs=1e-5) and right[place] <= 0


def test_answers_of_one_token_cost_nothing_and_others_a_row_per_beginning(model):
    chosen = samples()
    families = [FAMILIES.index(family) for family in ("colour", "count", "shape", "blink", "order", "texture")]
    text, plan = planned(model, [chosen[place] for place in families])
    assert plan.text is text
    text, plan = planned(model, [chosen[FAMILIES.index("position")]])
    assert len(plan.text.input_ids) == 2, (
        '"top left" has the row of "top right"; "bottom left" and "bottom right" have one'
    )


def test_other_samples_of_the_batch_change_nothing_nor_does_the_loss_change(model):
    chosen = samples()
    _, _, (loss, whole), (text, visual) = in_one_pass(model, chosen)
    alone = model(splice(model.embed(text.input_ids), visual, text), text).loss
    assert loss.item() == pytest.approx(alone.item(), abs=1e-5)
    assert in_one_pass(model, chosen)[2][1] == whole
    for place, sample in enumerate(chosen):
        assert in_one_pass(model, [sample])[2][1].get(0) == pytest.approx(whole.get(place), abs=1e-5)


def test_a_model_that_always_says_the_same_and_one_that_knows_nothing(model):
    candidates = ANSWERS["shape"]
    asked = [
        SampleFacts("1", "a.mp4", "all", (), "Where?", candidate, FreeAnswer(candidates))
        for candidate in candidates[:2]
    ]
    _, plan = planned(model, asked)
    token = model.text.encode([("Where?", candidates[0])]).input_ids[-2]
    logits = torch.zeros(2, len(plan.text.scored_columns), model.network.config.vocab_size)
    assert plan.log_likelihoods(logits).flatten().tolist() == pytest.approx([-math.log(4)] * 8)
    logits[..., token] = 20.0
    right, wrong = plan.log_likelihoods(logits).gather(1, plan.right[:, None]).flatten().tolist()
    assert right == pytest.approx(0, abs=1e-6) and wrong == pytest.approx(-20, abs=1e-6)


def test_what_is_no_number_is_left_out_and_what_is_too_long_named(model):
    chosen = [samples()[0], samples()[-3]]
    _, plan = planned(model, chosen)
    visual = torch.full((2 * TOKENS, 32), math.nan)
    assert plan.scores(model, visual)[1] == {}
    long = SampleFacts("long", "a.mp4", "all", (), "Where?", "left", FreeAnswer(("left", "left " * model.max_length)))
    with pytest.raises(TooLongError, match=r"^sample 1 of the batch is [0-9]+ tokens long"):
        planned(model, [chosen[0], long])


def test_a_run_logs_it_writes_it_with_each_answer_and_gives_it_an_interval(run):
    cli = run("fit", *NO_LSTE, *SHORT, "--data.test_questions_per_family=2")
    answers = [json.loads(line) for line in (cli.folder / "answers/test.jsonl").read_text().splitlines()]
    of = {family: [row["log_likelihood"] for row in answers if row["family"] == family] for family in FAMILIES}
    assert all(len(value) == 2 and max(value) <= 0 for value in of.values())
    figures = json.loads((cli.folder / "summary.json").read_text())["figures"]
    means = {f"test/log_likelihood/{family}": sum(value) / 2 for family, value in of.items()}
    means["test/log_likelihood/mean"] = sum(means.values()) / len(FAMILIES)
    logged = {name: value for name, value in figures.items() if name.startswith("test/log_likelihood/")}
    assert logged == pytest.approx(means, rel=1e-5)
    scores = json.loads((cli.folder / "answers/test_scores.json").read_text())["scores"]
    for name, mean in means.items():
        score = scores[name.removeprefix("test/")]
        assert score["low"] < mean < score["high"] <= 0 and score["value"] == pytest.approx(mean)
        assert score["questions"] == (18 if name.endswith("/mean") else 2) and score["videos"] == 2
    with (cli.folder / "metrics.csv").open() as file:
        curve = [
            float(row["val/log_likelihood/mean"]) for row in csv.DictReader(file) if row["val/log_likelihood/mean"]
        ]
    assert len(curve) == 2 and figures["val/log_likelihood/mean"] == pytest.approx(curve[-1])
    charts = layout(cli.model, cli.datamodule)["log-likelihood of the right answer in validation"]
    assert charts["colour"] == ["val/log_likelihood/colour$"] and len(charts) == 1 + len(FAMILIES)
