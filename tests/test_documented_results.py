"""What README and documentation say of results is what the reports beside them say."""

import re
from pathlib import Path

import pytest

README, RESULTS = Path("README.md").read_text(), Path("docs/results.md").read_text()
REPORTS = sorted(Path("docs/results").glob("*.md"))


def report(file):
    """Return experiment -> score, difference and verdict, of the first table of a report."""
    heads, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in file.read_text().split("\n\n")[0].splitlines()
    ]
    assert heads[:3] == ["experiment", "all, %", "difference"]
    return {row[0]: (row[1], row[2], row[heads.index("verdict")].replace("baseline", "")) for row in rows}


def test_there_are_reports():
    assert [file.stem for file in REPORTS] == ["five_questions", "table_4"]
    assert all(file.with_suffix(".html").is_file() for file in REPORTS)


@pytest.mark.parametrize("file", REPORTS, ids=lambda file: file.stem)
def test_the_documentation_has_the_figures_of_the_report(file):
    rows = {" | ".join(cells).replace("  ", " ") for cells in report(file).values()}
    for row in rows:
        assert f"| {row} |".replace("  ", " ") in RESULTS


def test_the_readme_has_the_figures_of_table_4():
    for name, cells in report(Path("docs/results/table_4.md")).items():
        assert f"| {name} | {' | '.join(cells)} |".replace("  ", " ") in README
        (mean,) = re.findall(rf"`experiments/{name}\.yaml` \|.*\| ([\d.]+) \|", README)
        assert mean == cells[0].split()[0]


def test_the_papers_numbers_are_those_of_the_readme():
    for name in report(Path("docs/results/table_4.md")):
        (cells,) = re.findall(rf"`experiments/{name}\.yaml` \| ([\d.]+) / [\d.]+ \| ([\d.]+) / [\d.]+ \|", README)
        score = report(Path("docs/results/table_4.md"))[name][0]
        (line,) = [line for line in RESULTS.splitlines() if score in line and line.startswith("|")]
        msvd, activitynet = (cell.split()[0] for cell in line.split("|")[2:4])
        assert (msvd, activitynet) == cells
