"""The LightningModule: puts encoder, projector and language model together, trains, scores and logs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from components.encoders import TokenLayout, VideoEncoder
from components.language_models import LanguageModel
from components.projectors import MLPProjector, Projector
from components.splice import PaddingSide, SplicePlan, plan_splice, splice
from datamodules.batch import Batch, SampleFacts
from datamodules.video_text import VideoTextDataModule
from lightning_modules.evaluation import FamilyScores, matches
from lightning_modules.stage import Stage


@dataclass
class ModelInput:
    """A batch with everything that follows from its sizes worked out: no tensor need be read on the host again."""

    frames: Tensor
    frame_counts: list[int]  # per clip, for who wants to show single clips
    layout: TokenLayout
    text: SplicePlan
    samples: list[SampleFacts]

    def to(self, device: torch.device, non_blocking: bool = True) -> ModelInput:
        """Move all tensors to `device`."""
        return ModelInput(
            self.frames.to(device, non_blocking=non_blocking),
            self.frame_counts,
            self.layout.to(device),
            self.text.to(device),
            self.samples,
        )


@dataclass
class Answer:
    """A generated answer beside its reference."""

    sample: SampleFacts
    prediction: str

    @property
    def right(self) -> bool:
        """Whether it is the reference after normalisation."""
        return matches(self.prediction, self.sample.answer)


class VideoLanguageModel(LightningModule):
    """A video encoder whose tokens a language model reads in place of a placeholder (paper Figure 2)."""

    def __init__(
        self,
        encoder: VideoEncoder,
        language_model: LanguageModel,
        stage: Stage,
        projector: Callable[[int, int], Projector] = MLPProjector,
        max_new_tokens: int = 16,
    ) -> None:
        """Assemble the model.

        Args:
            encoder: turns frames into features.
            language_model: reads text and visual tokens.
            stage: which groups train, at which rates.
            projector: takes features to the width of the language model.
            max_new_tokens: longest answer that evaluation generates.
        """
        super().__init__()
        self.encoder = encoder
        self.projector = projector(encoder.width, language_model.width)
        self.language_model = language_model
        self.stage = stage
        self.max_new_tokens = max_new_tokens
        stage.freeze(self.groups())
        self.answers: list[Answer] = []
        self._rng_state: Tensor | None = None

    def groups(self) -> dict[str, torch.nn.Module]:
        """Return the parameter groups that a stage speaks of."""
        return {"encoder": self.encoder, "projector": self.projector, "language_model": self.language_model}

    def component_names(self) -> dict[str, str]:
        """Return the class in every slot: what a checkpoint must agree with, and what an ablation changes."""
        names = {group: type(module).__name__ for group, module in self.groups().items()}
        parts = ((name, part) for name, part in self.encoder.named_modules() if name and _in_slot(part))
        names |= {f"encoder.{name}": type(part).__name__ for name, part in parts}
        names["language_model.adapter"] = type(self.language_model.adapter).__name__
        names["language_model.prompt"] = type(self.language_model.text.prompt).__name__
        return names

    def setup(self, stage: str) -> None:
        """Tell the data what this model needs, before any loader is made, and the trainer how many batches make a step.

        Raises:
            ValueError: the stage's global batch cannot be had on these devices, or was set in two places.
        """
        self.data.connect(self.encoder, self.language_model.text)
        if stage == "fit" and self.stage.global_batch is not None:
            if self.trainer.accumulate_grad_batches != 1:
                raise ValueError(
                    f"trainer.accumulate_grad_batches is {self.trainer.accumulate_grad_batches} and "
                    f"model.stage.global_batch is {self.stage.global_batch}; only one of them can decide"
                )
            self.trainer.accumulate_grad_batches = self.stage.accumulation(
                self.data.batch_size, self.trainer.world_size
            )

    @property
    def data(self) -> VideoTextDataModule:
        """The data module of the running trainer."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, VideoTextDataModule):
            raise ValueError(f"the data must be a VideoTextDataModule, not {type(data).__name__}")
        return data

    # From a batch to embeddings

    def prepare(self, batch: Batch) -> ModelInput:
        """Work out on the host where every token of the batch goes."""
        layout = self.encoder.layout(batch.shapes)
        return ModelInput(
            frames=batch.frames,
            frame_counts=batch.shapes.frame_counts.tolist(),
            layout=layout,
            text=self._plan(batch.input_ids, layout, batch.labels, PaddingSide.RIGHT),
            samples=batch.samples,
        )

    def _plan(
        self, ids: Sequence[Tensor], layout: TokenLayout, labels: Sequence[Tensor] | None, side: PaddingSide
    ) -> SplicePlan:
        return plan_splice(
            ids,
            layout.token_counts,
            labels,
            padding_side=side,
            pad_id=self.language_model.text.pad_id,
            max_length=self.language_model.max_length,
        )

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Count what the loader left out, and prepare on the host, while the tensors are still there."""
        if not isinstance(batch, Batch):
            return batch
        self.data.skips.count(batch.skipped)
        return self.prepare(batch) if batch.samples else batch

    def visual_tokens(self, batch: ModelInput) -> Float[Tensor, "tokens width"]:
        """Return the visual tokens of all clips, packed, in the language model's width."""
        features = self.encoder(self.encoder.normalize(batch.frames), batch.layout)
        tokens: Tensor = self.projector(features).index_select(0, batch.layout.order)
        return tokens

    def embeddings(self, plan: SplicePlan, visual_tokens: Float[Tensor, "tokens width"]) -> Tensor:
        """Return text embeddings (B, L, width) with the visual tokens in their places."""
        return splice(self.language_model.embed(plan.input_ids), visual_tokens, plan)

    def forward(self, batch: ModelInput) -> Tensor:
        """Return the mean loss over the answers' tokens."""
        return self.text_loss(batch, self.visual_tokens(batch))

    def text_loss(self, batch: ModelInput, visual_tokens: Float[Tensor, "tokens width"]) -> Tensor:
        """Return the cross-entropy of the answers (paper eq. 20)."""
        loss: Tensor = self.language_model(self.embeddings(batch.text, visual_tokens), batch.text).loss
        return loss

    @torch.no_grad()
    def generate(self, batch: ModelInput, visual_tokens: Float[Tensor, "tokens width"]) -> list[str]:
        """Return one greedy answer per sample."""
        text = self.language_model.text
        prompts = [text.encode_question(sample.before, sample.question) for sample in batch.samples]
        plan = self._plan(prompts, batch.layout, None, PaddingSide.LEFT).to(visual_tokens.device)
        ids = self.language_model.generate(self.embeddings(plan, visual_tokens), plan, self.max_new_tokens)
        return [text.decode(row) for row in ids]

    # Steps

    def training_step(self, batch: ModelInput | Batch, batch_idx: int) -> Tensor | None:
        """Return the loss; None for a batch of which every clip was left out."""
        if isinstance(batch, Batch):
            return None
        loss: Tensor = self(batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.samples), sync_dist=True)
        if self.data.skips.failed:
            self.log("data/skipped_clips", float(len(self.data.skips.failed)))
        return loss

    def _evaluate(self, batch: ModelInput | Batch, split: str) -> list[Answer]:
        if isinstance(batch, Batch):
            return []
        visual_tokens = self.visual_tokens(batch)
        loss = self.text_loss(batch, visual_tokens)
        self.log(f"{split}/loss", loss, batch_size=len(batch.samples), sync_dist=True)
        predictions = self.generate(batch, visual_tokens)
        answers = [Answer(sample, text) for sample, text in zip(batch.samples, predictions, strict=True)]
        for answer in answers:
            self.scores.add(answer.sample.family, answer.right)
        self.answers += answers
        return answers

    def _start_scores(self, split: str) -> None:
        self.scores = FamilyScores(self.data.families(split))
        self.answers = []

    def _log_scores(self, split: str) -> None:
        counts = self.trainer.strategy.reduce(self.scores.counts.to(self.device), reduce_op="sum")
        for family, share in self.scores.shares(counts).items():
            self.log(f"{split}/exact_match/{family}", share, prog_bar=family == "mean", sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        """Start the scores of this validation."""
        self._start_scores("val")

    def validation_step(self, batch: ModelInput | Batch, batch_idx: int) -> None:
        """Score one batch by loss and by generated answers."""
        self._evaluate(batch, "val")

    def on_validation_epoch_end(self) -> None:
        """Log exact match per family."""
        self._log_scores("val")

    def on_test_epoch_start(self) -> None:
        """Start the scores of this test."""
        self._start_scores("test")

    def test_step(self, batch: ModelInput | Batch, batch_idx: int) -> None:
        """Score one batch by loss and by generated answers."""
        self._evaluate(batch, "test")

    def on_test_epoch_end(self) -> None:
        """Log exact match per family."""
        self._log_scores("test")

    def on_predict_epoch_start(self) -> None:
        """Start with no answers."""
        self.answers = []

    def predict_step(self, batch: ModelInput | Batch, batch_idx: int) -> list[Answer]:
        """Return the generated answers of one batch."""
        if isinstance(batch, Batch):
            return []
        predictions = self.generate(batch, self.visual_tokens(batch))
        answers = [Answer(sample, text) for sample, text in zip(batch.samples, predictions, strict=True)]
        self.answers += answers
        return answers

    # Optimisation and checkpoints

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW with the stage's rates, warm-up and cosine over all steps of the run."""
        optimizer = self.stage.optimizer(self.groups())
        schedule = self.stage.schedule(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which components the weights belong to, and the state of the random numbers."""
        checkpoint["components"] = self.component_names()
        checkpoint["rng_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of another variant.

        Raises:
            ValueError: the components of the checkpoint are not those of the configuration.
        """
        saved, ours = checkpoint.get("components", {}), self.component_names()
        different = [
            f"{slot} is {saved.get(slot, 'absent')} there, {ours.get(slot, 'absent')} in the configuration"
            for slot in sorted(saved.keys() | ours.keys())
            if saved.get(slot) != ours.get(slot)
        ]
        if different:
            raise ValueError(f"ckpt_path holds another variant of the model: {'; '.join(different)}")
        self._rng_state = checkpoint.get("rng_state")

    def on_train_start(self) -> None:
        """Go on with the random numbers of the interrupted run."""
        if self._rng_state is not None:
            torch.set_rng_state(self._rng_state)


def _in_slot(part: torch.nn.Module) -> bool:
    """Whether `part` belongs to a family (whose contract is in its `base.py`), and could be another of its members."""
    return any(kind.__module__.endswith(".base") for kind in type(part).__mro__)
