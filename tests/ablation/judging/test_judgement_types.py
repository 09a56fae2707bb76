"""Stored judgements whose values are of other types than `judge` writes."""

import json

import pytest

from ablation.judging.figures import _provenance_of
from ablation.judging.judge import Comparison, ExactMatch, Judgement
from ablation.judging.judgements import JudgementCache, read_judgements

ASKED = Comparison("Which?", "red", "blue")
WRONG = [
    *({"right": value} for value in ("yes", 1, [], None)),
    *({"score": value} for value in ("4", True, -1, 6, float("nan"), float("inf"), [])),
    *({"unjudged": value} for value in (5, [])),
    *({"reply": value} for value in (5, [])),
    *({"answered_by": value} for value in (5, {})),
    *({"question": value} for value in (None, 5, [], {"a": 1})),
    *({"aspect": value} for value in (5, [], {})),
]


@pytest.fixture
def line(tmp_path):
    identity = ExactMatch().identity
    JudgementCache(tmp_path, identity).add(ASKED, Judgement(right=False, reply="blue"))
    return json.loads((tmp_path / f"{identity.label}.jsonl").read_text())


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_judgement_of_other_types_is_none(wrong, line, tmp_path):
    identity = ExactMatch().identity
    cache = tmp_path / f"{identity.label}.jsonl"
    cache.write_text(json.dumps(line | wrong) + "\n" + json.dumps(line) + "\n")
    read = JudgementCache(tmp_path, identity)
    assert read.broken == 1 and read.get(ASKED) == Judgement(right=False, reply="blue")
    file = tmp_path / "judgements.jsonl"
    file.write_text(json.dumps(line | {"id": "a", "judge": {"name": "J", "hash": "0" * 64}} | wrong) + "\n")
    with pytest.raises(ValueError, match="entry 1 is not a judgement"):
        read_judgements(file)


def test_deep_nesting_is_no_judgement_and_no_provenance(tmp_path):
    identity, deep = ExactMatch().identity, "[" * 100_000
    (tmp_path / f"{identity.label}.jsonl").write_text(deep)
    assert JudgementCache(tmp_path, identity).broken == 1
    (tmp_path / "test_scores.json").write_text(deep)
    assert _provenance_of(tmp_path / "test.jsonl") is None
