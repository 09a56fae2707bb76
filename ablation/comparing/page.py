"""The page of a comparison: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablation.comparing.comparison import Cell, Comparison, Row
from ablation.comparing.curves import TRAINING, curve, validation_figure
from ablation.comparing.entries import score_entry, verdict_text
from ablation.comparing.experiment import Costs
from ablation.comparing.further_metrics import MetricComparison, curve_of
from ablation.comparing.plots import Forest, Panel, Scatter, forest, panels, scatter
from ablation.comparing.report import COLOURS, page_templates
from ablation.comparing.tables import caption, costs_table, main_table, metric_table, score_table
from ablation.comparing.verdict import Word

WIDE, NARROW = 1040, 330  # width of the overall plot, and of a small one, in pixels
PLOT, PANEL = (510, 300), (250, 140)  # width and height of a plot of costs, and of a learning curve, in pixels


def page(comparison: Comparison, costs: Mapping[str, Costs], further: Sequence[MetricComparison]) -> str:
    """Return the page.

    Args:
        comparison: comparison to show.
        costs: known costs by experiment.
        further: comparisons by further metrics; those without scores have no table.
    """
    overall, *scores = comparison.sizes
    return (
        page_templates()
        .get_template("page.html.jinja")
        .render(
            title=f"{len(comparison.rows)} experiments compared",
            comparison=comparison,
            costs=costs,
            tables={
                "main": main_table(comparison),
                "scores": score_table(comparison),
                "costs": costs_table(comparison, costs),
            },
            further=[(by.metric, metric_table(comparison, by)) for by in further if by.names],
            overall=overall,
            overall_score=score_entry(comparison.rows[0].overall, comparison.unit).whole,
            verdicts=[verdict_text(row.overall) for row in comparison.rows[1:]],
            forest=_forest(comparison, overall, 190, 640, 30, words=True),
            forests={name: _forest(comparison, name, 118, NARROW - 10, 20, words=False) for name in scores},
            scatters=_scatters(comparison, costs),
            curves=_curves(comparison, further),
            counts=_counts(comparison),
            caption=caption(comparison),
            colours=COLOURS,
            sizes={"wide": WIDE, "narrow": NARROW, "plot": PLOT, "panel": PANEL},
        )
    )


def kind(cell: Cell) -> str:
    """Return the CSS class that colours a cell."""
    return COLOURS[cell.verdict.word] if cell.verdict else "base"


def _forest(comparison: Comparison, score: str, start: float, end: float, step: float, words: bool) -> Forest:
    base = comparison.rows[0].cells[score].mean
    lines = [
        (
            row.experiment.name,
            cell.difference.interval,
            [seed - base for seed in cell.seeds] if len(cell.seeds) > 1 else [],
            kind(cell),
            comparison.unit.bounds(cell.difference.interval, sign=True) if words else "",
        )
        for row in comparison.rows[1:]
        for cell in [row.cells[score]]
        if cell.difference
    ]
    return forest(lines, start, end, step, comparison.unit.best)


def _scatters(comparison: Comparison, costs: Mapping[str, Costs]) -> list[Scatter]:
    """Return a plot for every cost in which experiments differ."""

    def costs_of(row: Row) -> dict[str, float | None]:
        visual = costs.get(row.experiment.name)
        return {
            "parameters of the visual path, millions": visual.parameters / 1e6 if visual else None,
            "GMAC of the visual path": visual.gmac if visual else None,
            "visual tokens": visual.tokens if visual else None,
            "minutes of training": row.minutes,
        }

    plots = []
    for title in costs_of(comparison.rows[0]):
        dots = [
            (row.experiment.name, cost, row.overall.value.interval, kind(row.overall))
            for row in comparison.rows
            if (cost := costs_of(row)[title]) is not None and row.overall.value
        ]
        if len({cost for _, cost, _, _ in dots}) > 1:
            plots.append(scatter(title, dots, *PLOT, comparison.unit.best))
    return plots


def _curves(comparison: Comparison, further: Sequence[MetricComparison]) -> dict[str, Sequence[Panel]]:
    """Return the panels of the training loss, of the validation figure, and of further metrics, if logged."""
    experiments = [row.experiment for row in comparison.rows]
    curves = {}
    for name in (TRAINING, validation_figure(experiments), *(curve_of(by.metric) for by in further)):
        base, *others = [(experiment.name, curve(experiment, name)) for experiment in experiments]
        curves[name] = panels(others, base[1], *PANEL)
    return {name: plots for name, plots in curves.items() if plots}


def _counts(comparison: Comparison) -> dict[Word, int]:
    verdicts = [row.overall.verdict.word for row in comparison.rows if row.overall.verdict]
    return {word: verdicts.count(word) for word in Word}
