"""What a sweep is asked for, and what is wrong with it, found before anything starts."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ablation.sweep.command import main
from ablation.sweep.jobs import expand
from ablation.sweep.request import read_sweep, request_of
from lightning_modules.cli import main as program
from lightning_modules.config.chain import STAGES
from lightning_modules.runs.lock import Lock
from tests.guides import commands

NO_LSTE, FULL = Path("experiments/no_lste.yaml"), Path("experiments/full.yaml")
ALIGN, INSTRUCT = Path("configs/stage/align.yaml"), Path("configs/stage/instruct.yaml")
SWEEPS = sorted(Path("experiments/sweeps").glob("*.yaml"))


@pytest.fixture
def fails(capsys, tmp_path):
    """Run a sweep that must not start; returns what it says."""

    def run_failing(*words, runs=tmp_path / "runs", status=1):
        with pytest.raises(SystemExit) as caught:
            main([*map(str, words), f"--runs={runs}"])
        assert caught.value.code == status
        assert not list(tmp_path.rglob("*.log")), "something was started"
        return capsys.readouterr().err

    return run_failing


def ids(request):
    return [job.id for job in expand(request, Path("runs"))]


def test_jobs_are_experiments_x_settings_x_seeds_with_ordinary_names(tmp_path):
    file = tmp_path / "longer.yaml"
    file.write_text("trainer: {max_epochs: 9}")
    request = request_of([NO_LSTE, FULL], seeds=[2], configs=[file], assignments=["model.encoder.width=32,64"])
    assert ids(request)[:4] == ["no_lste+longer+width=32/seed_0", "no_lste+longer+width=64/seed_0",
                                "full+longer+width=32/seed_0", "full+longer+width=64/seed_0"]  # fmt: skip
    assert len(ids(request)) == 8 and ids(request)[4].endswith("seed_1")
    assert ids(request_of([FULL], seeds=[0, 3, 7])) == ["full/seed_0", "full/seed_3", "full/seed_7"]
    (job,) = expand(request_of([FULL], settings=["--data.batch_size=4"]), Path("there"))
    assert {"--config=experiments/full.yaml", "--name=full", "--seed_everything=0", "--runs=there",
            "--data.batch_size=4"} < set(job.arguments)  # fmt: skip


def test_values_with_commas_of_their_own_and_keys_that_end_alike(tmp_path):
    request = request_of([FULL], assignments=['a.width={"x": [1, 2]},7', "b.width=[3,4]"])
    assert dict(request.grid) == {"a.width": ('{"x": [1, 2]}', "7"), "b.width": ("[3,4]",)}
    assert ids(request) == ["full+a.width=x_1_2+b.width=3_4/seed_0", "full+a.width=7+b.width=3_4/seed_0"]


def test_flags_win_over_a_sweep_file_or_add_to_it(tmp_path):
    (tmp_path / "a.yaml").write_text("test_after_fit: true")
    (tmp_path / "more.yaml").write_text("test_after_fit: true")
    sweep = tmp_path / "question.yaml"
    sweep.write_text(
        "{experiments: [a.yaml], seeds: [0, 4], config: [more.yaml], set: {model.encoder.width: [32, 64]}}"
    )
    assert len(ids(request_of([sweep]))) == 4
    request = request_of([sweep], seeds=[1], configs=[FULL], assignments=["data.batch_size=8"])
    assert request.name == "question" and request.configs == (tmp_path / "more.yaml", FULL)
    assert ids(request) == [f"a+more+full+width={width}+batch_size=8/seed_0" for width in (32, 64)]


def test_a_chain_is_a_job_and_alternatives_of_a_stage_are_several(tmp_path):
    slow = tmp_path / "slow.yaml"
    slow.write_text("")
    request = request_of([FULL], stages=[str(ALIGN), f"{INSTRUCT},{slow}+{NO_LSTE}"])
    assert ids(request) == ["full+instruct/seed_0", "full+slow/seed_0"]
    one, other = expand(request, Path("runs"))
    assert [stage.id for stage in other.stages] == ["full+align/seed_0", "full+slow/seed_0"]
    assert [stage.stage for stage in one.stages] == ["align", "instruct"] and one.before == other.before
    assert [word for word in other.arguments if word.startswith("--config")] == [
        f"--config={file}" for file in (FULL, slow, NO_LSTE)
    ]
    assert ["--test_after_fit=false" in stage.arguments for stage in one.stages] == [True, False]
    request = request_of([FULL], stages=[f"{ALIGN},{slow}", str(INSTRUCT)], assignments=["trainer.max_epochs=2"])
    assert ids(request) == [f"full+max_epochs=2+{name}+instruct/seed_0" for name in ("align", "slow")]
    assert [job.before.id for job in expand(request, Path("runs"))] == [
        f"full+max_epochs=2+{name}/seed_0" for name in ("align", "slow")
    ]


def test_stages_of_a_sweep_file_are_relative_to_it_and_flags_win(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").write_text("")
    sweep = tmp_path / "question.yaml"
    sweep.write_text("{experiments: [a.yaml], stages: [a.yaml, [b.yaml, c.yaml+a.yaml]]}")
    assert request_of([sweep]).stages == (
        ((tmp_path / "a.yaml",),), ((tmp_path / "b.yaml",), (tmp_path / "c.yaml", tmp_path / "a.yaml"))
    )  # fmt: skip
    assert request_of([sweep], stages=[str(ALIGN)]).stages == (((ALIGN,),),)


def test_table_7_has_the_chain_of_the_paper():
    stages = read_sweep(Path("experiments/sweeps/table_7.yaml")).stages
    assert [[file.resolve() for file in files] for ((*files,),) in stages] == [[Path(f).resolve()] for f in STAGES]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_named_sweep_says_what_it_asks_and_names_experiments_that_are_there(path):
    assert path.read_text().startswith("# ")
    request = read_sweep(path)
    assert len(request.experiments) >= 2 and len(request.seeds) >= 3
    assert {file.parent for file in request.experiments} == {Path("experiments").resolve()}
    assert len(ids(request)) == len(request.experiments) * len(request.seeds)
    assert FULL.resolve() in request.experiments, "what the others are compared with"


def test_the_rows_of_a_table_are_those_whose_source_names_it():
    for number in (4, 5, 7, 8, 9, 10):
        rows = {
            file.resolve()
            for file in Path("experiments").glob("*.yaml")
            if re.match(rf"# .*\bTable {number}\b", file.read_text())
        }
        path = Path(f"experiments/sweeps/table_{number}.yaml")
        assert set(read_sweep(path).experiments) == rows | {FULL.resolve()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("rows: [3]", r"`rows` in .*bad.yaml is \[3\]; it must be a list of mappings with an `experiment`"),
        ("rows: [{row: all}]", r"`experiments` in .*bad.yaml is empty; name at least one"),
        ("{rows: [{experiment: gone.yaml}], sedes: 3}", "unknown key sedes in .*bad.yaml; a sweep has experiments"),
        ("rows: [{experiment: [gone.yaml]}]", "it must be a list of files"),
        ("experiments: [gone.yaml]", r"`experiments` in .*bad.yaml names .*gone.yaml, which does not exist"),
        ("{experiments: [a.yaml], seed: 3}", r"unknown key seed in .*bad.yaml; a sweep has experiments, seeds, config"),
        ("{experiments: [a.yaml], seeds: 0}", r"`seeds` in .*bad.yaml is 0, which names no seed; .* at least 1"),
        ("{experiments: [a.yaml], seeds: []}", r"is \[\], which names no seed"),
        ("{experiments: [a.yaml], seeds: [1, 1]}", r"is \[1, 1\], which has a seed twice"),
        ("{experiments: [a.yaml], seeds: many}", r"is 'many'; it must be how many seeds, or a list of numbers"),
        ("{experiments: [a.yaml], seeds: true}", r"is True; it must be how many seeds"),
        ("{experiments: [a.yaml], config: [gone.yaml]}", r"`config` in .*bad.yaml names .*gone.yaml, which does not"),
        ("{experiments: [a.yaml], set: [3]}", r"`set` in .*bad.yaml is \[3\]; it must be a mapping"),
        ("{experiments: [a.yaml], set: {x: []}}", r"`set: x` in .*bad.yaml has a value that is empty"),
        ("experiments: a.yaml", r"`experiments` in .*bad.yaml is 'a.yaml'; it must be a list of files"),
        ("experiments: []", r"`experiments` in .*bad.yaml is empty"),
        ("{experiments: [a.yaml], stages: [gone.yaml]}", r"`stages` in .*bad.yaml names .*gone.yaml, which does not"),
        ("{experiments: [a.yaml], stages: [a.yaml+gone.yaml]}", r"names /.*gone.yaml, which does not exist"),
        ("{experiments: [a.yaml], stages: a.yaml}", r"`stages` in .*bad.yaml is 'a.yaml'; it must be a list of files"),
        ("{experiments: [a.yaml], stages: []}", r"`stages` in .*bad.yaml is \[\]; it must be a list"),
        ("{experiments: [a.yaml], stages: [3]}", r"`stages` in .*bad.yaml is \[3\]; it must be a list"),
        ("{experiments: [a.yaml], stages: [a.yaml, [a.yaml]]}", r"has two stages called a; a stage is called like its"),
    ],
)
def test_a_sweep_file_that_is_wrong(fails, tmp_path, content, message):
    (tmp_path / "a.yaml").write_text("")
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    assert re.search(message, fails(path))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["experiments/gone.yaml"], r"experiments/gone.yaml does not exist"),
        (["experiments/no_lst.yaml"], r"no_lst.yaml does not exist; did you mean experiments/no_lste.yaml\?$"),
        ([FULL, "--config=gone.yaml"], r"gone.yaml does not exist"),
        ([FULL, "--seeds", 0], r"--seeds is 0, which names no seed; it must be at least 1"),
        ([FULL, "--seeds", 0, 0], r"--seeds is \[0, 0\], which has a seed twice"),
        ([FULL, "--seeds", -1], r"--seeds is -1; it must be"),
        ([FULL, "--set=data.batch_size"], r"--set is 'data.batch_size'; it must be KEY=VALUE"),
        ([FULL, "--set=data.batch_size=4,"], r"--set data.batch_size has a value that is empty"),
        ([FULL, "--set=data.batch_size=4,4"], r"--set data.batch_size has the same value twice: 4, 4"),
        ([FULL, "--set=a=4", "--set=a=5"], r"--set a is given twice"),
        ([FULL, "--seed_everything=3"], r"--seed_everything cannot be given to all runs of a sweep; give --seeds"),
        ([FULL, "--ckpt_path=x"], r"--ckpt_path cannot be given to all runs"),
        ([FULL, FULL], r"two jobs would train in .*full/seed_0: one of .*full.yaml, one of .*full.yaml"),
        ([FULL, "--set=a=1/2,1:2"], r"two jobs would train in .*values of --set \(a\) that differ in letters"),
        ([FULL, "--stages", ALIGN, "gone.yaml"], r"--stages names gone.yaml, which does not exist"),
        ([FULL, "--stages", f"{ALIGN}+"], r"--stages names \., which does not exist"),
        ([FULL, "--stages", ALIGN, f"{ALIGN}+{FULL}"], r"--stages has two stages called align; a stage is called like"),
        ([FULL, "--stages", ALIGN, INSTRUCT, "--init_from=gone.ckpt"], r"gone\.ckpt cannot be read: No such file"),
        ([FULL, "--set=model.encoder.widht=32"], r"full\+widht=32/seed_0 cannot be read: .*widht"),
        ([FULL, "--trainer.max_epoxs=3"], r"full/seed_0 cannot be read: .*max_epoxs"),
        ([FULL, "--set=model.encoder.local_encoding=LSTE,NoLSTE"], r"NoLSTE.* unknown local_encoding 'NoLSTE'"),
    ],
)
def test_a_command_that_is_wrong(fails, words, message):
    assert re.search(message, fails(*words))


@pytest.mark.parametrize("flag", ["--jobs=0", "--retries=-1"])
def test_a_number_that_is_none(fails, flag):
    assert f"{flag.replace('=', ' is ')}; it must be" in fails(FULL, flag, status=2)


def test_two_sweep_files_at_once(fails, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(f"experiments: [{FULL.resolve()}]")
    assert "a.yaml is a sweep, which is named alone" in fails(tmp_path / "a.yaml", tmp_path / "b.yaml")


def test_a_runs_folder_that_cannot_be_written(fails, tmp_path):
    (tmp_path / "runs").write_text("a file")
    assert re.search(r"runs/sweeps/full/lock cannot be written: Not a directory; --runs says", fails(FULL))


def test_a_sweep_folder_that_is_in_use(fails, tmp_path):
    lock = Lock(tmp_path / "runs" / "sweeps" / "full" / "lock")
    assert lock.take()
    output = fails(FULL)
    assert re.search(rf"sweeps/full is in use by process \d+ on {socket.gethostname()}; .*another --name", output)
    lock.release()


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path):
    code = "import pathlib, sys, lightning_modules.runs.lock as m; assert m.Lock(pathlib.Path(sys.argv[1])).take()"
    subprocess.run([sys.executable, "-c", code, tmp_path / "lock"], check=True)
    lock = Lock(tmp_path / "lock")
    assert lock.holder_is_gone() and lock.take()
    assert not lock.holder_is_gone()


def test_what_a_killed_sweep_has_started_is_waited_for(tmp_path):
    code = (
        "import pathlib, subprocess, sys; from lightning_modules.runs.lock import Lock; "
        "lock = Lock(pathlib.Path(sys.argv[1])); assert lock.take(); "
        "subprocess.Popen(['sleep', '2'], pass_fds=[lock.descriptor])"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "lock"], check=True)
    lock = Lock(tmp_path / "lock")
    assert not lock.take() and lock.holder_is_gone()
    assert lock.take(patience=20)


def test_a_run_that_was_finished_with_other_settings_is_named_with_what_differs(fails, tmp_path):
    folder = tmp_path / "runs" / "full" / "seed_0"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text("{}")
    config = {"model": {}, "data": {}, "trainer": {}, "seed_everything": 3, "init_partially": False}
    (folder / "config.yaml").write_text(json.dumps(config))
    output = fails(FULL)
    assert "full/seed_0 was trained with other settings, there -> here: " in output
    assert "seed_everything: 3 -> 0" in output and "trainer.max_epochs: - -> 4" in output
    (folder / "config.yaml").unlink()
    assert "it is not known what was trained in" in fails(FULL)


def test_a_dry_run_lists_and_starts_nothing(capsys, tmp_path):
    program(["sweep", str(NO_LSTE), "--seeds=2", "--dry-run", "--set=trainer.max_epochs=2", f"--runs={tmp_path}"])
    output = capsys.readouterr().out
    assert "sweep no_lste: 2 jobs" in output
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if "/seed_" in line]
    assert rows == [[f"no_lste+max_epochs=2/seed_{seed}", "would begin", "0", "750", ""] for seed in (0, 1)]
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_the_chains_of_the_docs_share_what_is_said(capsys, tmp_path):
    text = Path("docs/sweep.md").read_text().partition("## Chains of stages")[2].partition("\n## ")[0]
    table_7, command = re.findall(r"^video-panda sweep (.*)$", text, re.MULTILINE)
    (slow,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "slow_instruct.yaml").write_text(slow.replace("configs/", f"{Path('configs').resolve()}/"))
    main([*command.replace("slow_instruct", f"{tmp_path}/slow_instruct").split(), f"--runs={tmp_path / 'runs'}"])
    (listed,) = re.findall(r"```\n(\| job.*?)```", text, re.DOTALL)
    assert listed in capsys.readouterr().out
    words = [word for word in table_7.split() if "my_data" not in word]
    assert words.pop() == "--config"
    main(
        [*words, "--config=configs/data/shapes_in_motion.yaml", "--seeds=1", "--dry-run", f"--runs={tmp_path / 'runs'}"]
    )
    output = capsys.readouterr().out
    assert "sweep table_7: 2 jobs" in output and "for 2 jobs" not in output
    assert not (tmp_path / "runs").exists()


# Those about files of the reader's, and about deciding, are in test_guides.py.
COMMANDS = [command for command in commands("video-panda sweep") if not re.search("my_|slow_instruct|--until", command)]


@pytest.mark.long
def test_the_commands_of_the_guides_can_be_planned(capsys, tmp_path):
    assert len(COMMANDS) >= 5
    for command in COMMANDS:
        flags = [word for word in command.split() if word != "--dry-run"]
        main([*flags, "--dry-run", f"--runs={tmp_path}"])
        assert "would begin" in capsys.readouterr().out
