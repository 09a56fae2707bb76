"""The paper's numbers stand in its tables, in the experiments' first lines and with the benchmarks: all the same."""

import re
from pathlib import Path

import pytest

from ablation.reproducing.column import AspectScore, BenchmarkColumn, Cost
from ablation.reproducing.paper_table import TABLES as FOLDER
from ablation.reproducing.paper_table import paper_table, table_numbers
from ablation.sweep.request import read_sweep
from lightning_modules.config.chain import STAGES, read_config

BASE = "full"
TABLES = [paper_table(f"table-{number}") for number in table_numbers()]
EXPERIMENTS = sorted(Path("experiments").glob("*.yaml"))


def numbers_in(text):
    """Return benchmark -> (accuracy, score) of `MSVD-QA 64.8/-, ActivityNet-QA 40.7/-`."""
    matches = re.findall(r"([\w-]+-QA) ([\d.]+)/([\d.]+|-)", text)
    return {name: (float(accuracy), None if score == "-" else float(score)) for name, accuracy, score in matches}


def tables_in(comment):
    """Return the tables of `# Table 4 and Table 9, ...` or `# Tables 1 to 3, ...`."""
    several = re.match(r"# Tables (\d+) to (\d+)", comment)
    if several:
        return set(range(int(several[1]), int(several[2]) + 1))
    return {int(number) for number in re.findall(r"\bTable (\d+)", comment.partition(",")[0])}


def test_the_tables_of_the_paper_with_results():
    assert table_numbers() == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert {table.number for table in TABLES if table.stages} == {7}
    assert TABLES[5].stages == STAGES


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"table_{table.number}")
def test_a_table_is_whole(table):
    assert len({row.label for row in table.rows}) == len(table.rows)
    files = [row.file for row in table.rows if row.file]
    assert len(files) >= 2 and len(set(files)) == len(files) and all(file.is_file() for file in files)
    assert table.base.experiment == BASE and table.base in table.rows and table.seeds == 3
    keys = {column.key for column in table.columns}
    for row in table.rows:
        assert row.numbers and (row.numbers.keys() == keys or not row.file), row.label
        for column in table.columns:
            expected = len(column.measures) if isinstance(column, BenchmarkColumn) else 1
            assert len(row.numbers.get(column.key, [0] * expected)) == expected


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.stem)
def test_the_first_line_of_an_experiment_has_the_numbers_of_its_tables(file):
    comment = file.read_text().partition("\n")[0]
    numbers, named = numbers_in(comment), tables_in(comment)
    assert bool(numbers) == bool(named)
    rows = {table: row for table in TABLES for row in table.rows if row.file == file}
    if file.stem != BASE:
        assert {table.number for table in rows} - {11} == named, "Table 11 came with the second version"
    for table, row in rows.items():
        for column in table.columns:
            if column.title in numbers:
                assert row.numbers[column.key] == numbers[column.title]


def test_the_numbers_of_the_full_model_are_those_kept_with_the_benchmarks():
    for table in TABLES:
        for column in table.columns:
            if isinstance(column, Cost):
                continue
            (described,) = read_config(column.benchmark.file)["data"]["init_args"]["benchmarks+"]
            paper = described["paper"]
            keys = [column.key] if isinstance(column, AspectScore) else ["accuracy", "score"]
            assert table.base.numbers[column.key] == tuple(paper[key] for key in keys if key in paper)


def test_one_row_has_the_same_numbers_in_all_tables():
    seen = {}
    for table in TABLES:
        for row in table.rows:
            for key, numbers in row.numbers.items():
                if row.file:
                    assert seen.setdefault((row.file, key), numbers) == numbers


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"table_{table.number}")
def test_a_table_is_a_sweep_of_its_rows_the_full_model_first(table):
    sweep = read_sweep(FOLDER / f"table_{table.number}.yaml")
    first, *others = sweep.experiments
    assert first == table.base.file.resolve()
    assert others == [row.file.resolve() for row in table.rows if row.file and row is not table.base]
    assert sweep.seeds == (0, 1, 2)
    assert [file.resolve() for ((file,),) in sweep.stages] == [Path(stage).resolve() for stage in table.stages]


def test_a_gap_is_that_of_the_first_number():
    table = paper_table("4")
    msvd, activitynet = table.columns
    row = next(row for row in table.rows if row.experiment == "no_gstra")
    assert table.paper_gap(row, msvd) == pytest.approx(-1.7)
    assert table.paper_gap(row, activitynet) == pytest.approx(-1.8)
    assert table.paper_gap(table.base, msvd) is None


@pytest.mark.parametrize("name", ["table-4", "table_4", "Table 4", "4"])
def test_a_table_has_several_names(name):
    assert paper_table(name).number == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table-6", "Table 6 has the settings of the stages and no results; they are in configs/stage"),
        ("table-12", "unknown table 'table-12'; known: table-1, table-2, table-3, table-4, table-5, table-7"),
        ("experiments/full.yaml", "unknown table 'experiments/full.yaml'; known: table-1"),
    ],
)
def test_a_table_that_is_none(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        paper_table(name)


def test_elsewhere_than_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = paper_table("4")
    assert [row.file.name for row in table.rows] == [row.file.name for row in TABLES[3].rows]
    assert all(row.file.is_file() for row in table.rows)
