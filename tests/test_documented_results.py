"""What README and documentation say of results is what the reports beside them say."""

import re
from pathlib import Path

import pytest

from ablation.reproducing.paper_table import paper_table
from docs.tables import PAGES as WRITTEN
from docs.tables import REPORT, reported, written

README, RESULTS, EXPERIMENTS = (
    Path(page).read_text() for page in ("README.md", "docs/results.md", "docs/experiments.md")
)
TABLE_4 = Path("docs/results/table_4.md")
HISTORY = Path("docs/results/history")
PAGES = {
    report: page
    for page in (Path("docs/results.md"), HISTORY / "README.md")
    for report in sorted((HISTORY if page.parent == HISTORY else Path("docs/results")).glob("*.md"))
    if report != page
}
"""Report -> the page that has its figures."""


def report(file):
    """Return experiment -> score, difference and verdict, of the first table of a report."""
    heads, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in file.read_text().split("\n\n")[0].splitlines()
    ]
    assert heads[:3] == ["experiment", "all, %", "difference"]
    return {row[0]: (row[1], row[2], row[heads.index("verdict")].replace("baseline", "")) for row in rows}


def test_there_are_reports():
    assert TABLE_4 in PAGES and {"five_questions", "table_4"} <= {file.stem for file in PAGES if file.parent == HISTORY}
    assert all(file.with_suffix(".html").is_file() for file in PAGES)


@pytest.mark.parametrize("file", PAGES, ids=str)
def test_the_documentation_has_the_figures_of_the_report(file):
    text = PAGES[file].read_text().replace("  ", " ")
    for cells in report(file).values():
        assert f"| {' | '.join(cells)} |".replace("  ", " ") in text


@pytest.mark.parametrize("file", WRITTEN, ids=str)
def test_the_tables_of_results_are_those_that_would_be_written(file):
    page = file.read_text()
    assert page == written(page, paper_table("4"), reported(REPORT)), "write them: python docs/tables.py"
    assert page.count("written by docs/tables.py") == 1
    spoilt = page.replace("| 99.4", "| 99.5", 1)
    assert spoilt != page == written(spoilt, paper_table("4"), reported(REPORT))


def test_a_marker_of_no_table_is_refused():
    with pytest.raises(ValueError, match="'nothing' is no table of results; known: experiments, beside_the_paper"):
        written("<!-- nothing: written by docs/tables.py -->\n<!-- end -->", paper_table("4"), {})


def test_the_table_of_experiments_has_the_scores_of_table_4():
    for name, (score, *_) in report(TABLE_4).items():
        (mean,) = re.findall(rf"`experiments/{name}\.yaml` \|.*\| ([\d.]+) \|", EXPERIMENTS)
        assert mean == score.split()[0]


def test_the_readme_has_the_figures_of_table_4():
    results = report(TABLE_4)
    assert results["full"][0].replace(" ", " % ", 1) in README
    for line, name in (
        ("Without LSTE it loses", "no_lste"),
        ("With an average in place of LSD it loses", "lsd_average_pool"),
        ("Without GSTRA and LSTE it loses", "no_gstra_no_lste"),
    ):
        (points, bounds, verdict), (gap, word) = (
            re.search(rf"^- {line} (\S+) points (\[.*?\]).*\*\*(.*?)\.?\*\*", README, re.MULTILINE).groups(),
            results[name][1:],
        )
        assert (f"-{points} {bounds}", verdict.lower()) == (gap, word)
    nothing = [results[name] for name in ("no_fsra", "no_gstra", "no_row_tokens")]
    assert {verdict for *_, verdict in nothing} == {"not distinguishable"}
    assert "it loses nothing; more than 0.6 points are ruled out. **Not distinguishable.**" in README
    assert max(float(re.search(r"\[-([\d.]+)", gap)[1]) for _, gap, _ in nothing) == 0.6


def test_the_papers_numbers_are_those_of_the_table_of_experiments():
    for name, (score, *_) in report(TABLE_4).items():
        (cells,) = re.findall(rf"`experiments/{name}\.yaml` \| ([\d.]+) / [\d.]+ \| ([\d.]+) / [\d.]+ \|", EXPERIMENTS)
        (line,) = [line for line in RESULTS.splitlines() if score in line and line.startswith("|")]
        msvd, activitynet = (cell.split()[0] for cell in line.split("|")[2:4])
        assert (msvd, activitynet) == cells
