"""Chains of stages: what several begin with in common is trained once, and every stage starts from what it says."""

import hashlib
import json
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ablation.stage_record import read_record
from ablation.sweep import runner, training
from ablation.sweep.display import Lines, listing
from ablation.sweep.jobs import chained
from ablation.sweep.journal import Journal
from ablation.sweep.runner import Runner
from ablation.sweep.state import Plan
from ablation.sweep.training import Busy, Claim, claim, job_lock
from components.files import content_hash
from tests.ablation.sweep.test_sweep_runner import PRETENDED, trained, when

ALIGN, INTEGRATE, INSTRUCT = (Path(f"{stage}.yaml") for stage in ("align", "integrate", "instruct"))
SHARED = {"a": (ALIGN, INSTRUCT), "b": (ALIGN, INSTRUCT)}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(runner, "POLL", 0.02)
    monkeypatch.setattr(runner, "BUSY", 0.1)


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Return the runner of chains, and the trainings that do not just finish: `**{"a+align": "fails"}`."""

    def make(chains, at_once=1, name="sweep", settings=None, **how):
        def command(words):
            called = [word.removeprefix("--name=") for word in words if word.startswith("--name=")][-1]
            return [sys.executable, PRETENDED, how.get(called, "finishes"), *words]

        monkeypatch.setattr(training, "command", command)
        jobs, plan = planned(chains, tmp_path, settings or {})
        journal = Journal(tmp_path / "sweeps" / name)
        journal.open()
        return Runner(jobs, replace(plan, begun=journal.begun), journal, steps_of(jobs), at_once, 1)

    return make


def planned(chains, runs, settings):
    """Return jobs and plan; `settings` has those of stages, by name, that are not as that stage is alone."""
    jobs, configs = [], {}
    for name, stages in chains.items():
        job = None
        for stage in chained(name, 0, [], [(stage,) for stage in stages], [], runs).stages:
            config = settings.get(stage.name, {"model": {"rate": stage.name.rpartition("+")[2]}})
            job = replace(stage, arguments=(*stage.arguments, f"--kept={json.dumps(config)}"), before=job)
            configs[job] = config
        jobs.append(job)
    return jobs, Plan(runs, configs.__getitem__)


def steps_of(jobs):
    return {stage.id: 8 for job in jobs for stage in job.stages}


def names(runs):
    return [row["job"] for row in trained(runs)]


def last_checkpoint(runs, name):
    return runs / name / "seed_0" / "checkpoints" / "last.ckpt"


def test_two_jobs_train_their_common_stages_once_and_start_from_the_same_bytes(sweep, tmp_path, capsys):
    chains = {"a": (ALIGN, INTEGRATE, INSTRUCT), "b": (ALIGN, INTEGRATE, INSTRUCT)}
    outcome = sweep(chains, at_once=2).run()
    assert sorted(outcome.finished) == ["a+instruct/seed_0", "b+instruct/seed_0"] and not outcome.failed
    first, second, *last = names(tmp_path)
    assert first == "a+align" and second in ("a+integrate", "b+integrate")  # whichever job sees first that it can
    assert sorted(last) == ["a+instruct", "b+instruct"]
    checkpoint = last_checkpoint(tmp_path, second)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    for name in ("a+instruct", "b+instruct"):
        start = read_record(tmp_path / name / "seed_0").starts_from
        assert (start.checkpoint, start.sha256) == (str(checkpoint), digest)
    assert [row["weights"] for row in trained(tmp_path)[2:]] == [checkpoint.read_bytes().hex()] * 2
    assert read_record(tmp_path / second / "seed_0").checkpoint_sha256 == digest
    output = capsys.readouterr().out
    assert "waits     b+instruct/seed_0: its stage b+align/seed_0 is trained by another job or process" in output
    begun = [event for event in Journal(tmp_path / "sweeps" / "sweep").events() if event["event"] == "begun"]
    assert {event["init_from_sha256"] for event in begun[2:]} == {digest}
    assert len({event["configuration"] for event in begun}) == 3  # of four trainings: both last stages are alike
    assert sweep(chains).run().finished == ["a+instruct/seed_0", "b+instruct/seed_0"] and len(trained(tmp_path)) == 4


def test_a_stage_starts_from_a_checkpoint_that_is_a_folder_as_from_a_file(sweep, tmp_path, capsys):
    assert sweep({"a": (ALIGN, INSTRUCT)}, **{"a+align": "finishes_in_shards"}).run().finished
    checkpoint = last_checkpoint(tmp_path, "a+align")
    start = read_record(tmp_path / "a+instruct" / "seed_0").starts_from
    assert (start.checkpoint, start.sha256) == (str(checkpoint), content_hash(checkpoint))
    (checkpoint / "__0_0.distcp").write_bytes(b"others")
    assert not sweep({"b": (ALIGN, INSTRUCT)}).run().finished
    assert f"{checkpoint} has changed since a stage started from it" in capsys.readouterr().out


def test_progress_is_over_all_stages_of_a_job(sweep):
    class Remembers(Lines):
        def show(self, board):
            boards.append(board)

    boards = []
    first = sweep({"a": (ALIGN, INSTRUCT)})
    first.display = Remembers()
    assert first.run().finished
    rows = [(row.job, row.stage, row.step, row.steps) for board in boards for row in board.rows]
    assert list(dict.fromkeys(rows)) == [
        ("a+instruct/seed_0", "align", 0, 16), ("a+instruct/seed_0", "instruct", 8, 16)
    ]  # fmt: skip


def test_a_job_that_has_less_in_common_shares_that_alone(sweep, tmp_path):
    settings = {"b+integrate": {"model": {"rate": 2}}}
    chains = {"a": (ALIGN, INTEGRATE, INSTRUCT), "b": (ALIGN, INTEGRATE, INSTRUCT)}
    assert len(sweep(chains, settings=settings).run().finished) == 2
    assert sorted(names(tmp_path)) == ["a+align", "a+instruct", "a+integrate", "b+instruct", "b+integrate"]
    other = {"a+align": {"seed_everything": 1}}
    jobs, plan = planned({"a": (ALIGN, INSTRUCT), "b": (ALIGN, INSTRUCT)}, tmp_path, other)
    assert len({plan.key(stage) for job in jobs for stage in job.stages[:1]}) == 2


def test_another_sweep_uses_what_is_finished_and_waits_for_what_is_not(sweep, tmp_path):
    assert sweep({"a": (ALIGN, INSTRUCT)}, name="one").run().finished
    assert sweep({"b": (ALIGN, INTEGRATE, INSTRUCT)}, name="two").run().finished == ["b+instruct/seed_0"]
    assert names(tmp_path) == ["a+align", "a+instruct", "b+integrate", "b+instruct"]
    (tmp_path / "a+align" / "seed_0" / "summary.json").unlink()  # as if it were being trained
    elsewhere = job_lock(chained("a", 0, [], [(ALIGN,)], [], tmp_path), tmp_path)
    assert elsewhere.take()
    jobs, plan = planned({"c": (ALIGN, INSTRUCT)}, tmp_path, {})
    assert claim(jobs[0], plan) == Busy(jobs[0].before)
    elsewhere.release()
    claimed = claim(jobs[0], plan)
    assert isinstance(claimed, Claim) and claimed.folder == tmp_path / "a+align" / "seed_0" and claimed.continues
    assert claim(jobs[0], plan) == Busy(jobs[0])
    claimed.release()


@pytest.mark.parametrize("how", ["goes_on", "deaf"])
def test_what_was_stopped_or_killed_in_a_common_stage_goes_on_in_its_folder(sweep, tmp_path, how):
    ready = tmp_path / "a+align" / "seed_0" / "ready"

    def stop():
        signal.raise_signal(signal.SIGTERM)
        if how == "deaf":  # dies before its first checkpoint
            time.sleep(0.3)
            signal.raise_signal(signal.SIGTERM)

    when(ready, stop)
    assert sweep(SHARED, **{"a+align": how}).run().stopped_by == signal.SIGTERM
    outcome = sweep({"b": (ALIGN, INSTRUCT), "a": (ALIGN, INSTRUCT)}, name="other").run()  # for which b comes first
    assert len(outcome.finished) == 2
    assert names(tmp_path) == ["a+align", "a+align", "b+instruct", "a+instruct"]
    assert [path.parent.name for path in tmp_path.glob("*align/seed_0*")] == ["a+align"]
    assert (trained(tmp_path)[1]["from"] is None) == (how == "deaf")


def test_the_last_stage_of_one_chain_that_another_goes_on_with_is_still_tested(sweep, tmp_path):
    one, settings = {"a": (ALIGN, INTEGRATE)}, {"model": {"rate": "integrate"}, "test_after_fit": True}
    when(tmp_path / "a+integrate" / "seed_0" / "ready", lambda: signal.raise_signal(signal.SIGTERM))
    first = sweep(one, settings={"a+integrate": settings}, **{"a+integrate": "goes_on"})
    assert first.run().stopped_by == signal.SIGTERM
    assert sweep({"b": (ALIGN, INTEGRATE, INSTRUCT)}).run().finished
    assert [(row["job"], row["tested"]) for row in trained(tmp_path)[2:]] == [
        ("a+integrate", "true"), ("b+instruct", None)
    ]  # fmt: skip
    assert sweep(one, settings={"a+integrate": settings}).run().finished and len(trained(tmp_path)) == 4


def test_a_common_stage_that_fails_is_tried_again_for_one_job_and_not_for_each(sweep, tmp_path, capsys):
    outcome = sweep(SHARED | {"c": (INTEGRATE, INSTRUCT)}, **{"a+align": "fails"}, settings={
        "c+integrate": {"model": {"rate": 2}}}).run()  # fmt: skip
    assert outcome.finished == ["c+instruct/seed_0"]
    assert "b+align/seed_0: status 1 in try 2; its output is in" in outcome.failed["b+instruct/seed_0"]
    assert outcome.failed["a+instruct/seed_0"] == (
        "its stage align, which is that of b+instruct/seed_0 too, failed there"
    )
    assert names(tmp_path).count("a+align") == 2 and len(trained(tmp_path)) == 4
    outcome = sweep(SHARED).run()
    assert len(outcome.finished) == 2 and not outcome.failed


def test_what_is_trained_needs_nothing_of_the_stages_before_it(sweep, tmp_path):
    assert len(sweep(SHARED).run().finished) == 2
    shutil.rmtree(tmp_path / "a+align")
    assert len(sweep(SHARED).run().finished) == 2
    assert len(trained(tmp_path)) == 3


def test_a_checkpoint_that_is_gone_or_not_what_it_was_is_not_started_from(sweep, tmp_path):
    assert sweep({"a": (ALIGN, INSTRUCT)}).run().finished
    checkpoint = last_checkpoint(tmp_path, "a+align")
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(b"x" + content[1:])
    failed = sweep(SHARED).run().failed
    before, after = (hashlib.sha256(weights).hexdigest() for weights in (content, checkpoint.read_bytes()))
    assert list(failed) == ["b+instruct/seed_0"]
    assert (
        f"{checkpoint} has changed since a stage started from it: sha256 {before} -> {after}: put it back"
        in (failed["b+instruct/seed_0"])
    )
    checkpoint.unlink()
    failed = sweep(SHARED).run().failed["b+instruct/seed_0"]
    assert f"{checkpoint}, from which the stage after b+align/seed_0 starts, is gone: put it back" in failed
    checkpoint.write_bytes(content)
    assert len(sweep(SHARED).run().finished) == 2


def test_other_settings_of_an_earlier_stage_are_named(sweep, tmp_path):
    chains = {"a": (ALIGN, INTEGRATE, INSTRUCT)}
    assert sweep(chains).run().finished
    failed = sweep(chains, settings={"a+align": {"model": {"rate": 2}}}).run().failed["a+instruct/seed_0"]
    changed = "model.rate: align -> 2. Give the settings it was trained with"
    assert f"{tmp_path}/a+align/seed_0 was trained with other settings, there -> here: {changed}" in failed
    assert f"move {tmp_path}/a+align/seed_0 away, and the stages after it" in failed
    shutil.rmtree(tmp_path / "a+align")
    shutil.rmtree(tmp_path / "a+integrate")
    failed = sweep(chains, settings={"a+align": {"model": {"rate": 2}}}).run().failed["a+instruct/seed_0"]
    assert "a+instruct/seed_0 started from another stage than a+integrate/seed_0 is to be" in failed
    assert len(trained(tmp_path)) == 3


def test_a_record_that_cannot_be_read_is_named(sweep, tmp_path):
    assert sweep(SHARED).run().finished
    (tmp_path / "a+align" / "seed_0" / "stage.json").write_text("{")
    shutil.rmtree(tmp_path / "b+instruct")
    failed = sweep(SHARED).run().failed["b+instruct/seed_0"]
    assert "a+align/seed_0/stage.json is not a record of a stage" in failed


def test_a_first_stage_that_was_trained_by_itself_is_taken(sweep, tmp_path):
    assert sweep({"a+align": ()}).run().finished == ["a+align/seed_0"]
    assert sweep({"a": (ALIGN, INSTRUCT)}).run().finished == ["a+instruct/seed_0"]
    assert names(tmp_path) == ["a+align", "a+instruct"]
    assert read_record(tmp_path / "a+align" / "seed_0").checkpoint_sha256


def test_a_file_that_the_first_stage_starts_from_counts_by_its_content(tmp_path):
    start, keys = tmp_path / "start.ckpt", set()
    for content in ("a", "bb"):
        start.write_text(content)
        jobs, plan = planned(SHARED, tmp_path, {"a+align": {"init_from": str(start)}})
        keys |= {plan.key(stage) for job in jobs for stage in job.stages if stage.prefix}
    assert len(keys) == 3  # two contents, and none
    start.unlink()
    with pytest.raises(ValueError, match=r"start\.ckpt cannot be read: No such file"):
        plan.key(jobs[0].before)


def test_the_file_that_the_first_stage_starts_from_may_be_moved_and_not_be_another(sweep, tmp_path):
    start, moved = tmp_path / "start.ckpt", tmp_path / "moved.ckpt"
    start.write_text("a")
    chains = {"a": (ALIGN, INSTRUCT)}

    def run(file):
        settings = {"model": {"rate": "align"}, "init_from": str(file)}
        return sweep(chains, settings={"a+align": settings, "b+align": settings}).run()

    assert run(start).finished
    start.rename(moved)
    chains["b"] = (ALIGN, INSTRUCT)
    assert len(run(moved).finished) == 2 and len(trained(tmp_path)) == 3
    moved.write_text("b")
    (tmp_path / "a+instruct" / "seed_0" / "summary.json").unlink()
    failed = run(moved).failed["a+instruct/seed_0"]
    assert "a+align/seed_0 started from another file than init_from is now" in failed


def test_a_listing_says_how_stages_stand_and_which_are_common(sweep, tmp_path):
    assert sweep({"a": (ALIGN, INSTRUCT)}).run().finished
    jobs, plan = planned({"b": (ALIGN, INTEGRATE, INSTRUCT), "c": (ALIGN, INTEGRATE, INSTRUCT)}, tmp_path, {})
    text = listing(jobs, plan, steps_of(jobs), [], {})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:-1]]
    assert rows == [
        ["b+instruct/seed_0", "would go on", "8", "24", ""],
        ["- align", "finished in a+align/seed_0, for 2 jobs", "8", "8", ""],
        ["- integrate", "would begin, for 2 jobs", "0", "8", ""],
        ["- instruct", "would begin", "0", "8", ""],
        ["c+instruct/seed_0", "would go on", "8", "24", ""],
        ["- align", "finished in a+align/seed_0, as above", "8", "8", ""],
        ["- integrate", "would begin, as above", "0", "8", ""],
        ["- instruct", "would begin", "0", "8", ""],
    ]
    assert text.splitlines()[-1].startswith("24 steps are missing")  # not 32
    stage, state, before = plan.next_stage(jobs[0])
    assert (stage, state.finished, before.folder) == (jobs[0].before, False, tmp_path / "a+align" / "seed_0")
