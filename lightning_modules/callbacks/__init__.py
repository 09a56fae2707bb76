"""Callbacks of every run, and those that YAML can add. Names after `as` are for other packages and for YAML."""

from lightning import Callback
from lightning.pytorch.callbacks import LearningRateMonitor

from lightning_modules.callbacks.answer_file import AnswerFile as AnswerFile
from lightning_modules.callbacks.divergence import Divergence
from lightning_modules.callbacks.interruption import Interruption
from lightning_modules.callbacks.last_checkpoint import LastCheckpoint as LastCheckpoint
from lightning_modules.callbacks.model_views import ModelViews as ModelViews
from lightning_modules.callbacks.origin import ConfigFile as ConfigFile
from lightning_modules.callbacks.origin import OriginFile as OriginFile
from lightning_modules.callbacks.part_report import PartReport as PartReport
from lightning_modules.callbacks.record_lengths import RecordLengths as RecordLengths
from lightning_modules.callbacks.run_history import RunHistory as RunHistory
from lightning_modules.callbacks.run_summary import RunSummary as RunSummary
from lightning_modules.callbacks.sample_panel import SamplePanel as SamplePanel
from lightning_modules.callbacks.scalar_layout import ScalarLayout
from lightning_modules.callbacks.score_file import BenchmarkReport as BenchmarkReport
from lightning_modules.callbacks.score_file import ScoreFile as ScoreFile
from lightning_modules.callbacks.training_figures import FusionWeight, Throughput
from lightning_modules.runs.loggers import StepLabels
from lightning_modules.training.bf16_weights import BFloat16Weights
from lightning_modules.training.devices import JoinedStatistics, RandomStates


def always(logged: bool) -> list[Callback]:
    """Return the callbacks that every run has besides those in its configuration; one only with a logger."""
    return [
        StepLabels(),
        BFloat16Weights(),
        *([LearningRateMonitor(logging_interval="step")] if logged else []),
        Divergence(),
        JoinedStatistics(),
        RandomStates(),
        Throughput(),
        FusionWeight(),
        SamplePanel(),
        ScalarLayout(),
        BenchmarkReport(),
        Interruption(),
    ]
