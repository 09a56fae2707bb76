"""Families of loggers: how their runs are named and resumed, and what they show beside numbers."""

from __future__ import annotations

import csv
import html
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning import Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from datamodules.printable import printable

PROJECT = "video-panda"  # what holds all runs of this project in a service
MOST_ROWS = 10_000  # of a table: as many as W&B shows

Cell = str | bool | Image.Image | None
_MARKUP = re.compile(r"[\\`*_|<>&\[\]#~!$]")  # characters with a meaning in Markdown, such as the `|` that ends a cell


@dataclass(frozen=True)
class Table:
    """A table of texts, verdicts and pictures; a cell is None where a row has no picture.

    Attributes:
        columns: names of the columns.
        rows: cells of each row.
        pictures: names of the columns of pictures.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    pictures: Sequence[str] = ()

    def without_pictures(self) -> Table:
        """Return the table without its columns of pictures, for loggers that show those by themselves."""
        kept = [place for place, name in enumerate(self.columns) if name not in self.pictures]
        return Table([self.columns[place] for place in kept], [[row[place] for place in kept] for row in self.rows])


class LoggerFamily:
    """A family of loggers, which holds numbers and settings alone: the base of those that hold more."""

    kind: ClassVar[type[Logger]]

    def __init__(self, logger: Logger) -> None:
        """Set the logger, which is of this family's kind."""
        self.logger = logger

    @classmethod
    def arguments(cls, folder: Path, earlier: str | None) -> dict[str, Any]:
        """Return arguments of the constructor that the user may leave open, by name.

        Args:
            folder: run folder, `<runs>/<experiment>/seed_<n>`.
            earlier: identity of the service's run that a resumed run goes on with.
        """
        return {}

    @property
    def identity(self) -> str | None:
        """What the service knows its run by, so that a resumed run goes on with that one; None if there is nothing."""
        return None

    def settings(self, values: Mapping[str, Any]) -> None:
        """Log the settings of the run; of a resumed one, once more."""
        self.logger.log_hyperparams(dict(values))

    def text(self, name: str, markdown: str, step: int | None = None) -> None:
        """Show a text in Markdown."""

    def table(self, name: str, table: Table, step: int) -> None:
        """Show a table."""

    def picture(self, name: str, picture: Image.Image, step: int) -> None:
        """Show a picture."""

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        """Show the distribution of values."""

    def end(self, failed: bool) -> None:
        """End the service's run, where Lightning does not."""


class TensorBoard(LoggerFamily):
    """TensorBoard, whose tables are Markdown in the text tab."""

    kind = TensorBoardLogger
    logger: TensorBoardLogger
    most_rows = 100  # what the text tab shows quickly

    def text(self, name: str, markdown: str, step: int | None = None) -> None:
        """Write to the text tab."""
        self.logger.experiment.add_text(name, markdown, step)

    def table(self, name: str, table: Table, step: int) -> None:
        """Write the first rows to the text tab."""
        words = table.without_pictures()
        lines = [table_row(*words.columns), f"|{' --- |' * len(words.columns)}"]
        lines += [table_row(*map(_in_words, row)) for row in words.rows[: self.most_rows]]
        if (further := len(words.rows) - self.most_rows) > 0:
            lines += ["", f"and {further:,} more rows"]
        self.text(name, "\n".join(lines), step)

    def picture(self, name: str, picture: Image.Image, step: int) -> None:
        """Write to the image tab."""
        self.logger.experiment.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        """Write to the histogram tab."""
        self.logger.experiment.add_histogram(name, values, step)


class WeightsAndBiases(LoggerFamily):
    """Weights & Biases: a run called `<experiment>/seed_<n>` in the group of its experiment."""

    kind = WandbLogger
    logger: WandbLogger

    @classmethod
    def arguments(cls, folder: Path, earlier: str | None) -> dict[str, Any]:
        """Return names and identity, where W&B's own variables do not say them."""
        named = {
            "project": ("WANDB_PROJECT", PROJECT),
            "name": ("WANDB_NAME", f"{folder.parent.name}/{folder.name}"),
            "group": ("WANDB_RUN_GROUP", folder.parent.name),
            "id": ("WANDB_RUN_ID", earlier),
            "resume": ("WANDB_RESUME", "allow"),  # as Lightning's logger does by itself, outside of config files
        }
        return {name: value for name, (variable, value) in named.items() if variable not in os.environ}

    @property
    def identity(self) -> str | None:
        """The id of the run."""
        return self.logger.version

    def text(self, name: str, markdown: str, step: int | None = None) -> None:
        """Log a page with the text as it is."""
        import wandb

        self._log(name, wandb.Html(f"<pre>{html.escape(markdown)}</pre>"), step)

    def table(self, name: str, table: Table, step: int) -> None:
        """Log a table with its pictures."""
        import wandb

        rows = [[wandb.Image(cell) if isinstance(cell, Image.Image) else cell for cell in row] for row in table.rows]
        self._log(name, wandb.Table(columns=list(table.columns), data=rows[:MOST_ROWS]), step)

    def picture(self, name: str, picture: Image.Image, step: int) -> None:
        """Log a picture."""
        self.logger.log_image(name, [picture], step)

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        """Log a histogram."""
        import wandb

        self._log(name, wandb.Histogram(values.tolist()), step)

    def _log(self, name: str, content: Any, step: int | None) -> None:
        self.logger.log_metrics({name: content}, step)

    def end(self, failed: bool) -> None:
        """Send what is left, and let the next run of this process be another one."""
        self.logger.experiment.finish(exit_code=int(failed))


class MLflow(LoggerFamily):
    """MLflow: a run called `<experiment>/seed_<n>`, with tables and texts as artifacts."""

    kind = MLFlowLogger
    logger: MLFlowLogger

    @classmethod
    def arguments(cls, folder: Path, earlier: str | None) -> dict[str, Any]:
        """Return names, identity, and the database that MLflow itself takes if no server is named."""
        return {
            "experiment_name": PROJECT,
            "run_name": f"{folder.parent.name}/{folder.name}",
            "run_id": earlier,
            "tracking_uri": os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"),
        }

    @property
    def identity(self) -> str | None:
        """The id of the run."""
        return self.logger.run_id

    def settings(self, values: Mapping[str, Any]) -> None:
        """Log parameters; since MLflow changes none, what a resumed run sets otherwise becomes a tag `resumed/...`."""
        client, run = self.logger.experiment, self.logger.run_id
        client.update_run(run, status="RUNNING")
        before, now = client.get_run(run).data.params, dict(_flat(values))
        self.logger.log_hyperparams({name: value for name, value in now.items() if name not in before})
        for name in before.keys() & now.keys():
            if before[name] != now[name]:
                client.set_tag(run, f"resumed/{name}", now[name])

    def text(self, name: str, markdown: str, step: int | None = None) -> None:
        """Store the text as a file."""
        self._store(markdown, name, step, "md")

    def table(self, name: str, table: Table, step: int) -> None:
        """Store the table as CSV, which MLflow's pages show as a table."""
        file, words = io.StringIO(), table.without_pictures()
        csv.writer(file, lineterminator="\n").writerows([words.columns, *words.rows[:MOST_ROWS]])
        self._store(file.getvalue(), name, step, "csv")

    def picture(self, name: str, picture: Image.Image, step: int) -> None:
        """Log a picture of this step."""
        key = re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII)  # all that MLflow allows
        self.logger.experiment.log_image(self.logger.run_id, picture, key=key, step=step)

    def end(self, failed: bool) -> None:
        """Mark a run as failed; of one that went well, Lightning says so."""
        if failed:
            self.logger.finalize("failed")

    def _store(self, content: str, name: str, step: int | None, ending: str) -> None:
        file = f"{name}.{ending}" if step is None else f"{name}/step_{step:06}.{ending}"
        self.logger.experiment.log_text(self.logger.run_id, content, file)


def family_of(kind: type[Logger]) -> type[LoggerFamily]:
    """Return the family of a class of loggers, the latest one defined; else one that holds numbers alone."""
    families = reversed(LoggerFamily.__subclasses__())
    return next((family for family in families if issubclass(kind, family.kind)), LoggerFamily)


def shown_by(trainer: Trainer) -> list[LoggerFamily]:
    """Return the loggers of a run by their families; on the first process alone, which shows what is not a number."""
    return [family_of(type(logger))(logger) for logger in trainer.loggers] if trainer.is_global_zero else []


def in_one_line(text: str) -> str:
    """Return a question, whose options may be on separate lines, or an answer as one line."""
    return printable(" ".join(text.split()))


def table_row(*cells: str) -> str:
    """Return a row of a Markdown table, with all markup in its cells escaped."""
    return f"| {' | '.join(_MARKUP.sub(lambda mark: f'&#{ord(mark[0])};', in_one_line(cell)) for cell in cells)} |"


def _in_words(cell: Cell) -> str:
    return {True: "✓", False: "✗", None: ""}[cell] if cell is None or isinstance(cell, bool) else str(cell)


def _flat(values: Mapping[str, Any], place: str = "") -> list[tuple[str, str]]:
    """Return path -> text of nested settings, cut to what MLflow's logger keeps of a parameter."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        nested = isinstance(value, Mapping)
        pairs += _flat(value, f"{place}{name}/") if nested else [(f"{place}{name}", str(value)[:250])]
    return pairs
