"""The LightningModule: puts encoder, projector and language model together, trains, scores and logs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from components.distillation import Distillation, NoDistillation
from components.encoders import VideoEncoder
from components.language_models import LanguageModel
from components.positive import check_positive
from components.projectors import MLPProjector, Projector
from components.registry import slot_names
from components.splice import IGNORED_LABEL, SplicePlan, TooLongError, splice
from components.teachers import FeatureCache, NoFeatureCache, NoTeacher, Teacher, cached_features
from datamodules.batch import Batch, Failed
from datamodules.video_text import VideoTextDataModule
from lightning_modules.scoring.evaluation import Answer, FamilyScores
from lightning_modules.scoring.metrics import Metric, is_headline, with_usual
from lightning_modules.training.checkpoint import check_same_model
from lightning_modules.training.devices import MeanLoss, random_state, set_random_state, weighted
from lightning_modules.training.frozen_base import FrozenBase
from lightning_modules.training.fully_sharded import class_name, shard
from lightning_modules.training.model_input import ModelInput, prepare, without_long
from lightning_modules.training.stage import Stage


class VideoLanguageModel(LightningModule):
    """A video encoder whose tokens a language model reads in place of a placeholder (paper Figure 2)."""

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
            encoder: turns frames into features.
            language_model: reads text and visual tokens.
            stage: which groups train, at which rates.
            projector: takes features to the width of the language model.
            teacher: whose features the language model learns to predict at the visual tokens, in training only.
            distillation: how that is learnt; `NoDistillation` goes with `NoTeacher`, and any other with a teacher.
            feature_cache: whether the teacher's features are kept.
            max_new_tokens: longest answer that evaluation generates.
            metrics: what answers are measured by, beside exact match and log-likelihood.

        Raises:
            ValueError: no new token, a teacher without distillation, or two metrics of one name.
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
        self._random_state: dict[str, Tensor] = {}

    def groups(self) -> dict[str, torch.nn.Module]:
        """Return the parameter groups that a stage speaks of."""
        return {
            "encoder": self.encoder,
            "projector": self.projector,
            "language_model": self.language_model,
            "distillation": self.distillation,
        }

    def component_names(self) -> dict[str, str]:
        """Return the class in every slot: what a checkpoint must agree with, and what an ablation changes."""
        names = {group: type(module).__name__ for group, module in self.groups().items()}
        names |= slot_names("encoder", self.encoder) | {"teacher": class_name(self.teacher)}
        names["language_model.adapter"] = type(self.language_model.adapter).__name__
        names["language_model.prompt"] = type(self.language_model.text.prompt).__name__
        return names

    def setup(self, stage: str) -> None:
        """Tell the data what this model needs, and the trainer how many batches make a step, before these are asked.

        Raises:
            ValueError: the stage's global batch cannot be had on these devices, or was set in two places.
        """
        asks_teacher = stage == "fit" and bool(self.distillation.hidden_layers)
        self.data.connect(self.encoder, self.language_model.text, self.teacher if asks_teacher else None)
        if asks_teacher:
            self.feature_cache.open(self.teacher, str(self.trainer.precision))
        if stage == "fit":
            given, devices = self.trainer.accumulate_grad_batches, self.trainer.world_size
            self.trainer.accumulate_grad_batches = self.stage.accumulation(self.data.batch_size, devices, given)

    def configure_model(self) -> None:
        """Shard the model if the strategy is one that shards: once, for a training and the test after it."""
        if self.device_mesh is not None and not isinstance(self, FSDPModule):
            shard(self, self.units(), self.teacher, self.device_mesh)

    def units(self) -> list[torch.nn.Module]:
        """Return large parts that run on every device together: what a sharded model gathers one at a time."""
        return [*self.encoder.units(), *self.language_model.units(), *[self.teacher] * self.feature_cache.always_asks]

    @property
    def data(self) -> VideoTextDataModule:
        """The data module of the running trainer."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, VideoTextDataModule):
            raise ValueError(f"the data must be a VideoTextDataModule, not {type(data).__name__}")
        return data

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Count what is left out, and prepare on the host; a process that has nothing to compute gets a stand-in."""
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
            return prepare(batch, self.encoder, self.language_model, self.feature_cache, stand_in, new_tokens)
        except TooLongError as error:
            return self.on_before_batch_transfer(without_long(batch, error, self.data.skips), dataloader_idx)

    def visual_tokens(self, batch: ModelInput) -> Float[Tensor, "tokens width"]:
        """Return the visual tokens of all clips, packed, in the language model's width."""
        features = self.encoder(self.encoder.normalize(batch.frames), batch.layout)
        tokens: Tensor = self.projector(features).index_select(0, batch.layout.order)
        return tokens

    def embeddings(self, plan: SplicePlan, visual_tokens: Float[Tensor, "tokens width"]) -> Tensor:
        """Return text embeddings (B, L, width) with the visual tokens in their places."""
        return splice(self.language_model.embed(plan.input_ids), visual_tokens, plan)

    def forward(self, batch: ModelInput) -> Tensor:
        """Return the cross-entropy of the answers (paper eq. 20), a mean over their tokens."""
        embeddings = self.embeddings(batch.text, self.visual_tokens(batch))
        loss: Tensor = self.language_model(embeddings, batch.text).loss
        return loss

    def losses(self, batch: ModelInput) -> tuple[Tensor, Tensor | None]:
        """Return the text loss and, where a teacher is asked, the distillation loss without its weight."""
        if batch.teacher is None:
            return self(batch), None
        teacher, where, layers = batch.teacher, batch.teacher.alignment, self.distillation.hidden_layers
        output = self.language_model(self.embeddings(batch.text, self.visual_tokens(batch)), batch.text, layers)
        features = cached_features(self.teacher, self.feature_cache, teacher.frames, teacher.frame_counts, teacher.keys)
        states = [layer.flatten(0, 1).index_select(0, teacher.positions) for layer in output.hidden_states]
        distillation: Tensor = self.distillation(states, where.pool(features), where.frames, where.frame_count)
        return output.loss, distillation

    def training_losses(self, batch: ModelInput) -> tuple[Tensor, Tensor | None]:
        """Return the losses so that their mean over devices is that over all answers and frames."""
        loss, distillation = self.losses(batch)
        devices = self.trainer.strategy, self.trainer.world_size
        loss = weighted(loss, (batch.text.labels != IGNORED_LABEL).sum() * batch.counts, *devices)
        if distillation is not None and batch.teacher is not None:
            frames = batch.teacher.alignment.frame_count * batch.counts * batch.clips_count
            distillation = weighted(distillation, torch.tensor(frames, device=loss.device), *devices)
        return loss, distillation

    @torch.no_grad()
    def generate(self, batch: ModelInput, visual_tokens: Float[Tensor, "tokens width"]) -> list[str]:
        """Return one greedy answer per sample."""
        assert batch.questions is not None, "prepared to learn from"
        embeddings, sharded = self.embeddings(batch.questions, visual_tokens), isinstance(self, FSDPModule)
        ids = self.language_model.generate(embeddings, batch.questions, self.max_new_tokens, together=sharded)
        return [self.language_model.text.decode(row) for row in ids]

    @torch.no_grad()
    def look(self, batch: ModelInput) -> Tensor | tuple[Tensor, Tensor | None]:
        """Run the visual path, and what a teacher is compared with, once: for hooks that watch parts."""
        return self.losses(batch) if batch.teacher else self.embeddings(batch.text, self.visual_tokens(batch))

    def training_step(self, batch: ModelInput | Batch, batch_idx: int) -> Tensor | None:
        """Return the loss; None for a batch of which every clip was left out."""
        if isinstance(batch, Batch):
            return None
        loss, distillation = self.training_losses(batch)
        if distillation is not None:
            self.log("train/text_loss", loss, sync_dist=True)
            if batch.clips_count or self.trainer.world_size > 1:  # several must log together
                self.log("train/distillation_loss", distillation, sync_dist=True)
            loss = loss + self.distillation.weight * distillation
        self.log("train/loss", loss, prog_bar=True, sync_dist=True)
        self.log_dict(self.data.skips.figures())
        return loss

    def _evaluate(self, batch: ModelInput | Batch) -> list[Answer]:
        if isinstance(batch, Batch):
            return []
        assert batch.candidates is not None, "prepared to learn from"
        visual_tokens = self.visual_tokens(batch)
        loss, likelihoods = batch.candidates.scores(self.language_model, visual_tokens)
        self.mean_loss.add(loss, len(batch.samples) * batch.counts)
        for answer in (answers := self._answer(batch, visual_tokens, likelihoods)):
            self.scores.add(answer.row)
        return answers

    def _answer(self, batch: ModelInput, visual_tokens: Tensor, likelihoods: dict[int, float]) -> list[Answer]:
        texts = self.generate(batch, visual_tokens)  # of a stand-in too: others may wait for it
        asked = zip(batch.samples, texts, strict=True) if batch.counts else ()
        answers = [Answer(sample, text, likelihoods.get(place)) for place, (sample, text) in enumerate(asked)]
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
        """Score one batch by loss, generated answers, and how likely the right ones were."""
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
        """Start with no answers."""
        self.answers = []

    def predict_step(self, batch: ModelInput | Batch, batch_idx: int) -> list[Answer]:
        """Return the generated answers of one batch."""
        return [] if isinstance(batch, Batch) else self._answer(batch, self.visual_tokens(batch), {})

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW with the stage's rates, warm-up and cosine over all steps of the run."""
        optimizer = self.stage.optimizer(self.groups())
        schedule = self.stage.schedule(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which components the weights belong to, and the state of the random numbers; leave out a frozen base."""
        checkpoint["components"] = self.component_names()
        checkpoint["random_state"] = random_state(self.device)
        self.frozen_base.leave_out(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of another variant, and complete those that were saved without their frozen base.

        Raises:
            CheckpointError: the checkpoint is not of the configured model, or was trained on other frozen weights.
        """
        check_same_model(checkpoint, self.component_names(), self.state_dict())
        self.frozen_base.put_back(checkpoint, "ckpt_path")
        self._random_state = checkpoint.get("random_state", {})

    def on_train_start(self) -> None:
        """Go on with the random numbers of the interrupted run."""
        set_random_state(self._random_state, self.device)
