"""How far two judges agree, by hand and through the command line."""

import pytest

from ablation.judging.agreement import compare, main
from ablation.judging.command import main as judge
from tests.ablation.judging.stored_answers import read_lines, row, save_answers


def save_judgements(path, verdicts, judge="a", **more):
    """Verdicts are (right, score) per question; None is unjudged."""
    rows = [
        {
            "id": f"q{number}",
            "aspect": None,
            **{key: row(number)[key] for key in ("question", "reference", "prediction")},
            "right": verdict and verdict[0],
            "score": verdict and verdict[1],
            "unjudged": None if verdict else "no reply",
            "judge": {"name": judge, "hash": "0" * 64},
            **more,
        }
        for number, verdict in enumerate(verdicts)
    ]
    return save_answers(path, rows)


def test_figures_of_a_known_case(tmp_path, capsys):
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: kappa 0.4, the textbook's.
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    ours = save_judgements(tmp_path / "a.jsonl", [(bool(a), 4 * a) for a, _ in pairs])
    theirs = save_judgements(tmp_path / "b.jsonl", [(bool(b), 2 * b) for _, b in pairs], "b")
    agreement = compare(ours, theirs)
    assert agreement.kappa() == pytest.approx(0.4)
    assert agreement.correlation() == pytest.approx((20 * 15 - 5 * 10) / (25 * 25 * 30 * 20) ** 0.5)
    main([str(ours), str(theirs), "--show", "2"])
    output = capsys.readouterr().out
    assert "accuracy by A: 50.0 %" in output and "accuracy by B: 60.0 %" in output
    assert "shift from A to B: +10.0 % [-5" in output and "same verdict: 70.0 %" in output
    assert "mean score: 2.00 by A, 1.20 by B" in output
    assert "differently judged: 35" in output and output.count("reference '") == 2
    assert "q20: A right 4, B wrong 0" in output  # opposite verdicts, and the scores furthest apart


def test_what_one_judge_did_not_judge_is_left_out_and_counted(tmp_path):
    ours = save_judgements(tmp_path / "a.jsonl", [(True, 5), None, (False, 1), (True, 3)])
    theirs = save_judgements(tmp_path / "b.jsonl", [(True, 5), (True, 4), (True, 4)], "b")
    agreement = compare(ours, theirs)
    assert (len(agreement.pairs), agreement.left_out) == (2, 2)
    assert [a.id for a, _ in agreement.disagreements()] == ["q2"]


def test_judges_that_say_the_same_of_everything_have_no_kappa(tmp_path, capsys):
    files = [str(save_judgements(tmp_path / f"{name}.jsonl", [(True, 5)] * 4, name)) for name in "ab"]
    main(files)
    output = capsys.readouterr().out
    assert (
        "Cohen's kappa: none" in output
        and "correlation of scores: none" in output
        and "same verdict: 100.0 %" in output
    )


def test_two_judges_that_the_program_wrote(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_answers(tmp_path / "a.jsonl", [row(number) for number in range(6)])
    judge(["a.jsonl", "--judge=ExactMatch"])
    judge(["a.jsonl", "--judge=ExactMatch", '--judge.synonyms=[["0", "1"]]'])
    main([str(file) for file in (tmp_path / "judgements" / "a").iterdir()])
    assert "differently judged: 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "other"}, "no id is in both"),
        ({"prediction": "something else"}, "question 'q0' has another question, reference or prediction"),
        ({"unjudged": "no reply"}, "there is no answer that both judged"),
        ({"right": "yes"}, "entry 1 is not a judgement"),
        ({"score": 7}, "entry 1 is not a judgement"),
        ({"judge": None}, "entry 1 is not a judgement"),
    ],
)
def test_files_that_cannot_be_compared(tmp_path, capsys, change, message):
    ours = save_judgements(tmp_path / "a.jsonl", [(True, 5)])
    theirs = save_judgements(tmp_path / "b.jsonl", [(True, 5)], **change)
    with pytest.raises(SystemExit) as ended:
        main([str(ours), str(theirs)])
    assert ended.value.code == 1 and message in capsys.readouterr().err


def test_files_of_no_judge_or_of_two(tmp_path):
    ours = save_judgements(tmp_path / "a.jsonl", [(True, 5)])
    two = [*read_lines(ours), {**read_lines(ours)[0], "id": "q1", "judge": {"name": "b", "hash": "1" * 64}}]
    save_answers(tmp_path / "two.jsonl", two)
    (tmp_path / "text.jsonl").write_text("yes\n", encoding="utf-8")
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    save_answers(tmp_path / "answers.jsonl", [row(1)])
    message = {
        "two": "a-00000000, b-11111111",
        "empty": "it is of none",
        "text": "entry 1 is not a judgement",
        "answers": "`judge` writes such files",
        "nowhere": "cannot be read",
    }
    for name, words in message.items():
        with pytest.raises(ValueError, match=words):
            compare(ours, tmp_path / f"{name}.jsonl")
