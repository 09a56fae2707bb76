"""`video-panda pretrain-tiny --out FOLDER`: teaches the tiny language model to read, from symbols and text alone.

The paper's language model can read before it sees its first video. That of the toy scale learns it here: scenes of
ShapesInMotion, drawn from a split of their own, are described in symbols (`describe`) that stand where a video
encoder's tokens will stand, and questions of every family are asked about them. No pixel is drawn, no clip is read, and
no encoder takes part. The embeddings of the symbols are thrown away at the end: an encoder has to learn its own tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from lightning import seed_everything
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from components.language_models import LanguageModel, TinyLlama
from components.official.folder import new_folder
from components.splice import PaddingSide, plan_splice, splice
from datamodules.printable import say
from datamodules.shapes_in_motion import FAMILIES, Scene, SceneSettings, sample_scene
from datamodules.shapes_in_motion.questions import question
from datamodules.shapes_in_motion.symbols import (
    SYMBOLS,
    THINGS,
    Described,
    DescribedAsAWhole,
    as_a_whole,
    describe,
)
from datamodules.video.sampling import UniformSampler
from lightning_modules.config.user_errors import ProgramParser, user_errors
from lightning_modules.training.stage import Stage

SPLIT = "symbols"  # split of the generator, of which there are no clips
STEPS, BATCH = 6000, 16
# The rate of the encoder is that of the symbols' embeddings.
STAGE = Stage(
    encoder=2e-3,
    projector=0.0,
    language_model=2e-3,
    distillation=0.0,
    warmup=0.03,
    weight_decay=0.01,
    betas=(0.9, 0.98),
)
FRAME_COUNTS = {1: 0.2, 2: 0.15, 4: 0.2, 8: 0.4, 16: 0.05}  # frames per scene in a hard batch -> share of batches
FRAMES = 8  # frames per scene in an easy batch
EASY, HARD = 0.6, 0.85  # shares of the steps at which lessons begin to get harder, and are hardest
NOISE = 4.0  # maximum noise on the tokens, in standard deviations of an embedding
HIDDEN = 0.1  # maximum share of hidden symbols
PLACES_ALONE = 0.4  # share of the lessons without symbols for whole frames
EXAMINED = 200  # number of scenes in the test of the result
WINDOW = 24  # side in pixels of the place that a token covers at the toy scale
WIDTH, LAYERS, HEADS = 64, 2, 4  # sizes of the language model


class SymbolTable(nn.Module):
    """Embeddings of symbols, in the order of STAB's tokens: the frame as a whole, then its places row by row.

    A token is the sum of the embeddings of the symbols in its place or frame; all rows end with the same token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()

        def embeddings(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, width) * width**-0.5)

        self.place, self.whole = embeddings(len(SYMBOLS)), embeddings(len(SYMBOLS))
        self.empty_place, self.empty_whole, self.row = embeddings(), embeddings(), embeddings()

    def forward(
        self,
        places: Float[Tensor, "frames rows columns symbols"],
        whole: Float[Tensor, "frames symbols"],
    ) -> Float[Tensor, "tokens width"]:
        """Return the tokens of one scene."""
        frames, rows, _, _ = places.shape
        windows = places @ self.place + self.empty_place
        grid = torch.cat([windows, self.row.expand(frames, rows, 1, -1)], 2).flatten(1, 2)
        return torch.cat([(whole @ self.whole + self.empty_whole)[:, None], grid], 1).flatten(0, 1)


@dataclass
class Lesson:
    """A scene in symbols, with questions about it.

    Attributes:
        places: symbols of every place that are not hidden.
        whole: symbols of every frame as a whole that are not hidden.
        noise: noise on the tokens, in standard deviations of an embedding.
        turns: family, question and answer, for the families that can be answered from these frames.
    """

    places: Described
    whole: DescribedAsAWhole
    noise: float
    turns: list[tuple[str, str, str]]


def lesson(scene: Scene, frame_count: int, hardness: float, window: int, rng: np.random.Generator) -> Lesson:
    """Describe a scene as the output of a good or bad encoder: symbols are hidden and blurred at random.

    Args:
        scene: the scene.
        frame_count: number of frames.
        hardness: from 0, with nothing hidden or blurred, to 1, with the most.
        window: side of a place in pixels.
        rng: random number generator.
    """
    frames = UniformSampler(frame_count).indices(scene.frames, scene.fps)
    places, has_whole = describe(scene, frames, window), rng.random() > PLACES_ALONE
    seen = [grid * (rng.random(grid.shape) > hardness * HIDDEN) for grid in (places, as_a_whole(places) * has_whole)]
    if rng.random() < 0.3 * hardness:  # some kinds of objects are hidden entirely
        for symbols in THINGS.values():
            if rng.random() < 0.2:
                for grid in seen:
                    grid[..., [SYMBOLS.index(symbol) for symbol in symbols]] = 0
    places, whole = (grid.astype(np.float32) for grid in seen)
    return Lesson(places, whole, hardness * NOISE * rng.random(), _turns(scene, frames, has_whole, rng))


def _turns(
    scene: Scene, frames: Sequence[int], has_whole: bool, rng: np.random.Generator
) -> list[tuple[str, str, str]]:
    """Return a question of every family that can be answered from these frames, in random order."""
    flashes = all(any(flash.lit(frame) for frame in frames) for flash in scene.flashes)
    answered = {
        "path": scene.frames - 1 in frames and 0 in frames,
        "blink": len(frames) == FRAMES,  # with other frames, lamps are seen at other moments of their period
        "order": flashes,
        "moment": flashes and has_whole,  # places do not show that a marker is absent
    }
    families = [FAMILIES[place] for place in rng.permutation(len(FAMILIES))]
    return [(family, *question(scene.answers, family, rng)) for family in families if answered.get(family, True)]


def lessons(scene: SceneSettings, window: int, seed: int, steps: int) -> Iterator[list[Lesson]]:
    """Draw the batches of a pretraining, easy ones first.

    Comparisons over a whole clip cannot be learnt with hidden symbols, but are not forgotten with them.
    """
    counts, shares = list(FRAME_COUNTS), list(FRAME_COUNTS.values())
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        hardness = min(max((step / steps - EASY) / (HARD - EASY), 0.0), 1.0)
        frame_count = int(rng.choice(counts, p=shares)) if rng.random() < hardness else FRAMES
        first = step * BATCH
        scenes = [sample_scene(scene, seed, SPLIT, index) for index in range(first, first + BATCH)]
        yield [lesson(drawn, frame_count, hardness, window, rng) for drawn in scenes]


def pretrain(
    model: LanguageModel, scene: SceneSettings, window: int, seed: int, steps: int
) -> tuple[SymbolTable, float]:
    """Train a language model to answer questions about scenes in symbols, with the loss of the answers' tokens.

    Args:
        model: language model with random weights.
        scene: settings of the scenes.
        window: side of a place in pixels.
        seed: seed of scenes, hidden symbols and noise.
        steps: number of optimiser steps.

    Returns:
        The trained embeddings of the symbols, and the mean loss of the last hundred steps.
    """
    symbols = SymbolTable(model.width)
    groups = {"language_model": model, "encoder": symbols}
    optimizer = STAGE.optimizer(groups)
    schedule = STAGE.schedule(optimizer, steps)
    trained = [parameter for group in groups.values() for parameter in group.parameters()]
    noise, losses = torch.Generator().manual_seed(seed), []
    for batch in tqdm(lessons(scene, window, seed, steps), total=steps, desc="pretraining", unit="step"):
        loss = _loss(model, symbols, batch, noise)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return symbols, float(np.mean(losses[-100:]))


def _loss(model: LanguageModel, symbols: SymbolTable, batch: Sequence[Lesson], noise: torch.Generator) -> Tensor:
    tokens = [_tokens(symbols, example, noise) for example in batch]
    texts = [model.text.encode([turn[1:] for turn in example.turns]) for example in batch]
    plan = plan_splice(
        [text.input_ids for text in texts],
        [len(scene) for scene in tokens],
        [text.labels for text in texts],
        padding_side=PaddingSide.RIGHT,
        pad_id=model.text.pad_id,
        max_length=model.max_length,
    )
    loss: Tensor = model(splice(model.embed(plan.input_ids), torch.cat(tokens), plan), plan).loss
    return loss


def _tokens(symbols: SymbolTable, example: Lesson, noise: torch.Generator) -> Float[Tensor, "tokens width"]:
    tokens: Tensor = symbols(torch.from_numpy(example.places), torch.from_numpy(example.whole))
    spread = example.noise * tokens.shape[1] ** -0.5
    blurred: Tensor = tokens + spread * torch.randn(tokens.shape, generator=noise)
    return blurred


@torch.no_grad()
def examine(
    model: LanguageModel, symbols: SymbolTable, scene: SceneSettings, window: int, seed: int
) -> dict[str, float]:
    """Return family -> percentage of right answers about `EXAMINED` other scenes of 8 frames, with nothing hidden."""
    right = dict.fromkeys(FAMILIES, 0)
    for index in range(EXAMINED):
        drawn = sample_scene(scene, seed + 1, SPLIT, index)
        places = describe(drawn, UniformSampler(8).indices(drawn.frames, drawn.fps), window)
        tokens = symbols(torch.from_numpy(places), torch.from_numpy(as_a_whole(places)))
        rng = np.random.default_rng((seed + 1, index))
        questions = [question(drawn.answers, family, rng) for family in FAMILIES]
        plan = plan_splice(
            [model.text.encode_question([], text) for text, _ in questions],
            [len(tokens)] * len(questions),
            None,
            padding_side=PaddingSide.LEFT,
            pad_id=model.text.pad_id,
            max_length=model.max_length,
        )
        embeddings = splice(model.embed(plan.input_ids), tokens.repeat(len(questions), 1), plan)
        replies = model.generate(embeddings, plan, max_new_tokens=4)
        for family, (_, answer), reply in zip(FAMILIES, questions, replies, strict=True):
            right[family] += model.text.decode(reply) == answer
    return {family: 100 * count / EXAMINED for family, count in right.items()}


def card(seed: int, steps: int, final_loss: float, scores: Mapping[str, float]) -> str:
    """Return the model card of the weights, in Markdown."""
    families = " | ".join(scores)
    return f"""# A tiny Llama that can read

A causal language model of {LAYERS} layers of width {WIDTH} with {HEADS} heads, for small experiments: what
`PretrainedTinyLlama` reads. It knows the words of ShapesInMotion's questions and answers, and nothing else of any
language.

- Made by `video-panda pretrain-tiny --out FOLDER --seed {seed} --steps {steps}`, from random weights, on one thread of
  a CPU, with torch {torch.__version__.partition("+")[0]} and numpy {np.__version__}. The same command gives the same
  bytes on the same machine with the same versions.
- Learnt from {steps * BATCH:,} scenes in symbols, each seen once, in {steps:,} steps of {BATCH}: what every place of a
  frame shows, in the order of a video encoder's tokens, and questions of every family about it. The scenes are those of
  the split `{SPLIT}`, of which there are no clips.
- Not learnt from: pixels, clips of any split of ShapesInMotion, an encoder's outputs, or any other text.
- The embeddings of symbols are not among the weights. An encoder's tokens mean nothing to it at first.
- Loss of the last hundred steps, with symbols hidden and blurred: {final_loss:.3f}. Right answers in percent, about
  {EXAMINED} other scenes with nothing hidden:

| {families} |
|{" --- |" * len(scores)}
| {" | ".join(f"{score:.1f}" for score in scores.values())} |
"""


def main(args: Sequence[str]) -> None:
    """Pretrain, and write a folder that `PretrainedCausalLM` reads."""
    parser = ProgramParser(prog="video-panda pretrain-tiny", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, which must be new")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, scenes and noise")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of {BATCH} scenes each")
    options = parser.parse_args(args)
    if options.steps < 1 or options.seed < 0:
        parser.error(f"--steps is {options.steps} and --seed {options.seed}; they must be at least 1 and at least 0")
    with user_errors(), new_folder(options.out) as folder:
        torch.set_num_threads(1)  # the order of sums depends on the number of threads
        seed_everything(options.seed, verbose=False)
        model, scene = TinyLlama(width=WIDTH, layers=LAYERS, heads=HEADS), SceneSettings()
        symbols, final_loss = pretrain(model, scene, WINDOW, options.seed, options.steps)
        scores = examine(model.eval(), symbols, scene, WINDOW, options.seed)
        model.network.save_pretrained(folder)
        model.text.tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(card(options.seed, options.steps, final_loss, scores), encoding="utf-8")
    say(f"written to {options.out}; right answers in percent: {', '.join(f'{f} {s:.1f}' for f, s in scores.items())}")
