"""What a run writes down beside its losses: one callback per file."""

from lightning import Callback
from lightning.pytorch.callbacks import LearningRateMonitor

from lightning_modules.callbacks.answer_file import AnswerFile
from lightning_modules.callbacks.interruption import Interruption
from lightning_modules.callbacks.last_checkpoint import LastCheckpoint
from lightning_modules.callbacks.model_views import ModelViews
from lightning_modules.callbacks.origin import ConfigFile, OriginFile
from lightning_modules.callbacks.part_report import PartReport
from lightning_modules.callbacks.record_lengths import RecordLengths
from lightning_modules.callbacks.run_history import RunHistory
from lightning_modules.callbacks.run_summary import RunSummary
from lightning_modules.callbacks.sample_panel import SamplePanel
from lightning_modules.callbacks.scalar_layout import ScalarLayout
from lightning_modules.callbacks.score_file import BenchmarkReport, ScoreFile
from lightning_modules.callbacks.training_figures import FusionWeight, GradientNorm, StepLabels, Throughput
from lightning_modules.callbacks.training_health import Divergence, JoinedStatistics


def always(logged: bool) -> list[Callback]:
    """Return the callbacks that every run has, whatever its configuration lists; some only with a logger."""
    return [
        StepLabels(),
        *([LearningRateMonitor(logging_interval="step")] if logged else []),
        GradientNorm(),
        Divergence(),
        JoinedStatistics(),
        Throughput(),
        FusionWeight(),
        SamplePanel(),
        ScalarLayout(),
        BenchmarkReport(),
        Interruption(),
    ]


__all__ = [
    "AnswerFile",
    "BenchmarkReport",
    "ConfigFile",
    "Divergence",
    "FusionWeight",
    "GradientNorm",
    "Interruption",
    "JoinedStatistics",
    "LastCheckpoint",
    "ModelViews",
    "OriginFile",
    "PartReport",
    "RecordLengths",
    "RunHistory",
    "RunSummary",
    "SamplePanel",
    "ScalarLayout",
    "ScoreFile",
    "StepLabels",
    "Throughput",
    "always",
]
