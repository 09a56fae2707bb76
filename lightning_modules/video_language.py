"""The LightningModule: encoder, projector and language model, their losses, scores and logged figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from components.distillation import Distillation, NoDistillation
from components.encoders import VideoEncoder
from components.language_models import LanguageModel
from components.positive import check_positive
from components.projectors import MLPProjector, Projector
from components.registry import slot_names
from components.splice import IGNORED_LABEL, SplicePlan, TooLongError, splice
from components.teachers import FeatureCache, NoFeatureCache, NoTeacher, Teacher
from datamodules.batch import Batch, Failed
from datamodules.video_text import VideoTextDataModule
from lightning_modules.scoring.evaluation import Answer, FamilyScores
from lightning_modules.scoring.metrics import Metric, is_headline, with_usual
from lightning_modules.training.checkpoint import check_same_model
from lightning_modules.training.devices import MeanLoss, weighted
from lightning_modules.training.frozen_base import FrozenBase
from lightning_modules.training.fully_sharded import class_name, kept_gathered, policy_of, shard
from lightning_modules.training.model_input import ModelInput, prepare, without_long
from lightning_modules.training.stage import Stage, clip


class VideoLanguageModel(LightningModule):
    """A language model that reads the tokens of a video encoder in place of a placeholder (paper Figure 2)."""

    def __init__(
        self,
        encoder: VideoEncoder,
        language_model: LanguageModel,
        stage: Stage,
        projector: Callable[[int, int], Projector] = MLPProjector,
        teacher: Callable[[], Teacher] = NoTeacher,
        distillation: Callable[[int, int, int], Distillation] = NoDistillation,
        feature_cache: Callable[[], FeatureCache] = NoFeatureCache,
        max_new_tokens: int = 16,
        metrics: Sequence[Metric] = (),
    ) -> None:
        """Assemble the model.

        Args:
            encoder: video encoder, which turns frames into visual features.
            language_model: language model, which reads text and visual tokens.
            stage: training stage: the learning rate of each part and their schedule.
            projector: layers that map the encoder's features to the width of the language model.
            teacher: vision model whose features the language model learns to predict, in training only. Default: none.
            distillation: loss of predicting the teacher's features; `NoDistillation` without a teacher.
            feature_cache: where the teacher's features are stored for reuse. Default: nowhere.
            max_new_tokens: maximum length of a generated answer, in tokens.
            metrics: metrics of generated answers, in addition to exact match and log-likelihood.

        Raises:
            ValueError: `max_new_tokens` is below 1, a teacher has no distillation, or two metrics have the same name.
        """
        super().__init__()
        check_positive("model", max_new_tokens=max_new_tokens)
        self.encoder = encoder
        self.projector = projector(encoder.width, language_model.width)
        self.language_model = language_model
        self.teacher = teacher()
        self.distillation = distillation(language_model.width, language_model.layers, self.teacher.width)
        self.feature_cache = feature_cache()
        if not isinstance(self.teacher, NoTeacher) and not self.distillation.hidden_layers:
            raise ValueError(
                f"model.teacher is {type(self.teacher).__name__} and model.distillation is "
                f"{type(self.distillation).__name__}, which would not ask it; set a distillation, or NoTeacher"
            )
        self.frozen_base = FrozenBase(self.groups())
        self.stage = stage
        self.max_new_tokens = max_new_tokens
        self.metrics = with_usual(metrics)
        stage.freeze(self.groups())
        self.answers: list[Answer] = []

    def groups(self) -> dict[str, torch.nn.Module]:
        """Return the parameter groups, by the names of their learning rates in `Stage`."""
        return {
            "encoder": self.encoder,
            "projector": self.projector,
            "language_model": self.language_model,
            "distillation": self.distillation,
        }

    def component_names(self) -> dict[str, str]:
        """Return the class name in every slot, which an ablation changes and a checkpoint must match."""
        names = {group: type(module).__name__ for group, module in self.groups().items()}
        names |= slot_names("encoder", self.encoder) | {"teacher": class_name(self.teacher)}
        names["language_model.adapter"] = type(self.language_model.adapter).__name__
        names["language_model.prompt"] = type(self.language_model.text.prompt).__name__
        return names

    def setup(self, stage: str) -> None:
        """Connect the data module to this model, and set the number of accumulated batches, before loaders are built.

        Raises:
            ValueError: the stage's global batch does not fit these devices, or is set in two places.
        """
        distils = stage == "fit" and bool(self.distillation.hidden_layers)
        self.data.connect(self.encoder, self.language_model.text, self.teacher if distils else None, self.feature_cache)
        if distils:
            self.feature_cache.open(self.teacher, str(self.trainer.precision))
        if stage == "fit":
            configured, devices = self.trainer.accumulate_grad_batches, self.trainer.world_size
            self.trainer.accumulate_grad_batches = self.stage.accumulation(self.data.batch_size, devices, configured)

    def configure_model(self) -> None:
        """Shard the model if the strategy does, once for a training and the test after it."""
        if self.device_mesh is not None:
            shard(self, self.units(), self.teacher, self.device_mesh, policy_of(self.trainer.precision_plugin))

    def units(self) -> list[torch.nn.Module]:
        """Return the large parts that a sharded model gathers one at a time; all devices run them together."""
        return [*self.encoder.units(), *self.language_model.units(), *[self.teacher] * self.feature_cache.always_asks]

    @property
    def data(self) -> VideoTextDataModule:
        """The data module of the running trainer."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, VideoTextDataModule):
            raise ValueError(f"the data must be a VideoTextDataModule, not {type(data).__name__}")
        return data

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Count skipped samples and prepare the batch on the host; a process without samples gets a stand-in."""
        if isinstance(batch, Failed):
            raise batch.error
        if isinstance(batch, Batch):
            self.data.skips.count(batch.skipped)
        if not isinstance(batch, Batch) or (not batch.samples and self.trainer.world_size == 1):
            return batch
        testing = self.trainer.testing or self.trainer.predicting
        stand_in = partial(self.data.stand_in, "train" if self.trainer.training else "test" if testing else "val")
        new_tokens = 0 if self.trainer.training else self.max_new_tokens
        try:
            return prepare(batch, self.encoder, self.language_model, stand_in, new_tokens)
        except TooLongError as error:
            return self.on_before_batch_transfer(without_long(batch, error, self.data.skips), dataloader_idx)

    def visual_tokens(self, batch: ModelInput) -> Float[Tensor, "tokens width"]:
        """Return the visual tokens of all clips, packed, at the width of the language model."""
        features = self.encoder(self.encoder.normalize(batch.frames), batch.layout)
        tokens: Tensor = self.projector(features).index_select(0, batch.layout.order)
        return tokens

    def embeddings(self, plan: SplicePlan, visual_tokens: Float[Tensor, "tokens width"]) -> Tensor:
        """Return text embeddings (B, L, width) with the visual tokens in their places."""
        return splice(self.language_model.embed(plan.input_ids), visual_tokens, plan)

    def forward(self, batch: ModelInput) -> Tensor:
        """Return the cross-entropy of the answers (paper eq. 20), averaged over their tokens."""
        embeddings = self.embeddings(batch.text, self.visual_tokens(batch))
        loss: Tensor = self.language_model(embeddings, batch.text).loss
        return loss

    def losses(self, batch: ModelInput) -> tuple[Tensor, Tensor | None]:
        """Return the text loss and, for a batch with a teacher's input, the distillation loss without its weight."""
        if batch.teacher is None:
            return self(batch), None
        teacher, aligned, layers = batch.teacher, batch.teacher.alignment, self.distillation.hidden_layers
        output = self.language_model(self.embeddings(batch.text, self.visual_tokens(batch)), batch.text, layers)
        features = self.feature_cache.features(self.teacher, teacher.frames, teacher.frame_counts, teacher.known)
        states = [layer.flatten(0, 1).index_select(0, teacher.positions) for layer in output.hidden_states]
        distillation: Tensor = self.distillation(states, aligned.pool(features), aligned.frames, aligned.frame_count)
        return output.loss, distillation

    def training_losses(self, batch: ModelInput) -> tuple[Tensor, Tensor | None]:
        """Return the losses, weighted so that their mean over devices is that over all tokens and frames."""
        loss, distillation = self.losses(batch)
        loss = weighted(loss, (batch.text.labels != IGNORED_LABEL).sum() * batch.is_real, self.trainer)
        if distillation is not None and batch.teacher is not None:
            frames = batch.teacher.alignment.frame_count * batch.is_real * batch.has_real_clips
            distillation = weighted(distillation, frames, self.trainer)
        return loss, distillation

    @torch.no_grad()
    def generate(self, batch: ModelInput, visual_tokens: Float[Tensor, "tokens width"]) -> list[str]:
        """Return one greedy answer per sample."""
        assert batch.questions is not None, "prepared for training"
        embeddings = self.embeddings(batch.questions, visual_tokens)
        with kept_gathered(self) as sharded:
            ids = self.language_model.generate(embeddings, batch.questions, self.max_new_tokens, together=sharded)
        return [self.language_model.text.decode(row) for row in ids]

    @torch.no_grad()
    def run_for_hooks(self, batch: ModelInput) -> Tensor | tuple[Tensor, Tensor | None]:
        """Run the visual path, and the distillation if there is a teacher, for the forward hooks on its parts."""
        return self.losses(batch) if batch.teacher else self.embeddings(batch.text, self.visual_tokens(batch))

    def training_step(self, batch: ModelInput | Batch, batch_idx: int) -> Tensor | None:
        """Return the loss; None for a batch whose samples were all skipped."""
        if isinstance(batch, Batch):
            return None
        loss, distillation = self.training_losses(batch)
        if distillation is not None:
            self.log("train/text_loss", loss, sync_dist=True)
            if batch.has_real_clips or self.trainer.world_size > 1:  # all processes must log together
                self.log("train/distillation_loss", distillation, sync_dist=True)
            loss = loss + self.distillation.weight * distillation
        self.log("train/loss", loss, prog_bar=True, sync_dist=True)
        self.log_dict(self.data.skips.figures())
        return loss

    def _evaluate(self, batch: ModelInput | Batch) -> list[Answer]:
        if isinstance(batch, Batch):
            return []
        assert batch.candidates is not None, "prepared for training"
        visual_tokens = self.visual_tokens(batch)
        loss, likelihoods = batch.candidates.scores(self.language_model, visual_tokens)
        self.mean_loss.add(loss, len(batch.samples) * batch.is_real)
        for answer in (answers := self._answer(batch, visual_tokens, likelihoods)):
            self.scores.add(answer.row)
        return answers

    def _answer(self, batch: ModelInput, visual_tokens: Tensor, likelihoods: dict[int, float]) -> list[Answer]:
        texts = self.generate(batch, visual_tokens)  # for a stand-in too: other processes may wait for it
        pairs = zip(batch.samples, texts, strict=True) if batch.is_real else ()
        answers = [Answer(sample, text, likelihoods.get(place)) for place, (sample, text) in enumerate(pairs)]
        self.answers += answers
        return answers

    def _start_scores(self, split: str) -> None:
        self.scores = FamilyScores(self.data.families(split), self.metrics)
        self.mean_loss, self.answers = MeanLoss(), []

    def _log_scores(self, split: str) -> None:
        counts = self.trainer.strategy.reduce(self.scores.counts.to(self.device), reduce_op="sum")
        figures = self.scores.figures(counts, self.data.question_counts())
        for name, figure in (figures | self.mean_loss.figures(self.trainer.strategy)).items():
            self.log(f"{split}/{name}", figure, prog_bar=is_headline(name), sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        """Start the scores of this validation."""
        self._start_scores("val")

    def validation_step(self, batch: ModelInput | Batch, batch_idx: int) -> None:
        """Score one batch by its loss, generated answers and the likelihoods of the right answers."""
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        """Log every metric per family."""
        self._log_scores("val")

    def on_test_start(self) -> None:
        """Start the scores of this test."""
        self._start_scores("test")

    def test_step(self, batch: ModelInput | Batch, batch_idx: int) -> dict[str, list[Answer]]:
        """Score one batch as a validation does, and return its answers."""
        return {"answers": self._evaluate(batch)}

    def on_test_epoch_end(self) -> None:
        """Log every metric per family."""
        self._log_scores("test")

    def on_predict_epoch_start(self) -> None:
        """Clear the answers."""
        self.answers = []

    def predict_step(self, batch: ModelInput | Batch, batch_idx: int) -> list[Answer]:
        """Return the generated answers of one batch."""
        return [] if isinstance(batch, Batch) else self._answer(batch, self.visual_tokens(batch), {})

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW with the stage's learning rates, and the schedule over all steps of the run."""
        optimizer = self.stage.optimizer(self.groups(), scaled=self.trainer.scaler is not None)
        schedule = self.stage.schedule(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients, and log the norm that all of them had before."""
        norm = clip(optimizer, gradient_clip_val, gradient_clip_algorithm, self.trainer.scaler is not None)
        self.log_dict({} if norm is None else {"train/gradient_norm": norm})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the components to the checkpoint, and leave out the frozen base."""
        checkpoint["components"] = self.component_names()
        self.frozen_base.leave_out(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another variant, and put back the frozen base that it leaves out.

        Raises:
            CheckpointError: the checkpoint is not of the configured model, or was trained on other frozen weights.
        """
        check_same_model(checkpoint, self.component_names(), self.state_dict())
        self.frozen_base.put_back(checkpoint, "ckpt_path")
