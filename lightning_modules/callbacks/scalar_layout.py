"""The layout of TensorBoard's custom scalars: charts of a training on one page, with the curves of all runs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from components.stab import LearnedFusion
from datamodules.video_text import VideoTextDataModule
from lightning_modules.video_language import VideoLanguageModel

Layout = dict[str, dict[str, list[str]]]  # category -> chart -> patterns of the tags in it


class ScalarLayout(Callback):
    """Writes the layout when a training begins.

    TensorBoard joins the layouts of all runs, but loses the charts of a category that a run lacks. So all runs have the
    same categories, with the charts that will have a curve; `model.metrics` adds further categories.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the layout."""
        if isinstance(trainer.logger, TensorBoardLogger) and trainer.is_global_zero:
            assert isinstance(pl_module, VideoLanguageModel)
            charts = layout(pl_module, pl_module.data)
            trainer.logger.experiment.add_custom_scalars(
                {
                    category: {name: ["Multiline", tags] for name, tags in group.items()}
                    for category, group in charts.items()
                }
            )


def layout(model: VideoLanguageModel, data: VideoTextDataModule) -> Layout:
    """Return the charts of a model that is trained on `data`."""
    losses = {"training": ["train/loss$"], "validation": ["val/loss$"]}
    if model.distillation.hidden_layers:
        losses |= {"training: answers": ["train/text_loss$"], "training: distillation": ["train/distillation_loss$"]}
    optimisation = {"learning rate": ["lr-"], "norm of the gradients, before clipping": ["train/gradient_norm$"]}
    if any(isinstance(part, LearnedFusion) for part in model.modules()):
        optimisation["alpha, mean (0: video, 1: frame context)"] = ["alpha/mean$"]
        optimisation["alpha, standard deviation of channels"] = ["alpha/std$"]
    measured = {
        metric: sorted({record.family for record in data.records("val") if metric.measures(record.answer_kind)})
        for metric in model.metrics
    }
    return {
        "loss": losses,
        **{f"{metric.title} in validation": _per_family(metric.name, measured[metric]) for metric in model.metrics},
        "optimisation": optimisation,
        "speed": {
            "clips per second": ["speed/clips_per_second$"],
            "share of time spent waiting for data": ["speed/data_wait_share$"],
        },
    }


def _per_family(metric: str, families: Sequence[str]) -> dict[str, list[str]]:
    charts = {"mean of families": "mean"} if families else {}
    charts |= {family: re.escape(family) for family in families}
    return {chart: [f"val/{metric}/{name}$"] for chart, name in charts.items()}
