"""Damaged checkpoints: loaded for answering, gone on from, and started from."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch

from lightning_modules.export.trained_run import find_run, load
from lightning_modules.training.checkpoint import check_checkpoint, check_same_model
from lightning_modules.training.init_from import init_from
from tests.campaign.kind import Kind, Outcome, WrongError
from tests.campaign.kinds.finished_run import copied_run, finished_run
from tests.campaign.mutations import ODD_VALUES, changed_bytes, places


class Checkpoints(Kind):
    """The weights in use are those that were saved; or there is an error."""

    name, share = "checkpoint", 0.12

    def prepare(self, folder: Path) -> None:
        """Train for a moment, and keep the weights that it saved."""
        self.run = finished_run(folder.parent.parent)
        self.content = torch.load(self.run / "checkpoints" / "last.ckpt", weights_only=True)
        self.model = load(find_run(self.run)).model
        self.weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def names(self) -> tuple[str, ...]:
        """Return the keys that a checkpoint is named by."""
        return ("ckpt_path", "init_from")

    def damage(self, random: Random, folder: Path) -> str:
        """Change bytes of the file, or an entry of what it holds, or a tensor."""
        self.copy = copied_run(self.run, folder)
        self.file = self.copy / "checkpoints" / "last.ckpt"
        self.must_fail = False
        match random.choice(("bytes", "bytes", "entry", "tensor", "as it is")):
            case "bytes":
                content, what = changed_bytes(random, self.file.read_bytes())
                self.file.write_bytes(content)
            case "entry":
                what = self._change_entry(random)
            case "tensor":
                what = self._change_tensor(random)
            case _:
                what = "as it is"
        return what

    def _change_entry(self, random: Random) -> str:
        content = torch.load(self.file, weights_only=True)
        used = {key: content[key] for key in ("components", "state_dict", "global_step", "epoch") if key in content}
        path = random.choice([place for place in places(used)[1:] if len(place) < 3])
        owner: Any = content
        for key in path[:-1]:
            owner = owner[key]
        value = random.choice(ODD_VALUES)
        owner[path[-1]] = value
        torch.save(content, self.file)
        return f"{'/'.join(map(str, path))} is {value!r:.40}"

    def _change_tensor(self, random: Random) -> str:
        content = torch.load(self.file, weights_only=True)
        weights = content["state_dict"]
        name = random.choice([name for name, tensor in weights.items() if tensor.is_floating_point()])
        self.must_fail = True
        match random.choice(("nan", "inf", "shape", "gone", "renamed")):
            case "nan":
                weights[name].view(-1)[random.randrange(weights[name].numel())] = float("nan")
                what = "has a NaN"
            case "inf":
                weights[name].view(-1)[-1] = float("inf")
                what = "has an infinity"
            case "shape":
                weights[name] = weights[name][..., None]
                what = "has one dimension more"
            case "gone":
                del weights[name]
                what = "is gone"
            case _:
                weights[f"{name}_x"] = weights.pop(name)
                what = f"is called {name}_x"
        torch.save(content, self.file)
        return f"{name} {what}"

    def use(self, random: Random, folder: Path) -> Outcome:
        """Take its weights in one of three ways."""
        match random.choice(("answer", "go on", "start from")):
            case "answer":
                model = load(find_run(self.copy)).model
            case "start from":
                model = load(find_run(self.run)).model
                for parameter in model.parameters():
                    parameter.data.zero_()
                init_from(model, self.file)
            case _:
                model = load(find_run(self.run)).model
                check_checkpoint(self.file)
                content = torch.load(self.file, map_location="cpu", weights_only=True)
                check_same_model(content, model.component_names(), model.state_dict())
                model.load_state_dict(content["state_dict"], strict=False)
        if self.must_fail:
            raise WrongError("it was taken")
        for name, tensor in model.state_dict().items():
            if not torch.equal(tensor, self.weights[name]):
                raise WrongError(f"{name} is not what was saved")
        return Outcome.RIGHT
