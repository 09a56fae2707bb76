"""`trainer.deterministic=true`: two trainings are the same, and nothing runs that torch refuses on CUDA then."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_modules.video_language import VideoLanguageModel
from tests.lightning_modules.short_run import SHORT, losses

DETERMINISTIC = "--trainer.deterministic=true"
# Operations that have no deterministic kernel on CUDA, by torch's documentation of `use_deterministic_algorithms`.
REFUSED = ("adaptive_avg_pool", "adaptive_max_pool", "avg_pool3d", "fractional_max_pool", "max_unpool", "upsample",
           "reflection_pad", "nll_loss2d", "ctc_loss", "grid_sampler", "histc", "bincount", "median",
           "put_")  # fmt: skip
ONLY_BACKWARD = ("adaptive_", "avg_pool3d", "fractional", "upsample", "reflection", "ctc", "grid_sampler")


class Refused(TorchDispatchMode):
    """Notes the operations that torch would refuse."""

    def __init__(self):
        super().__init__()
        self.seen, self.noted = set(), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").partition(".")[0].lstrip("_")
        self.seen.add(name)
        if name.startswith(REFUSED) and (name.endswith("_backward") or not name.startswith(ONLY_BACKWARD)):
            self.noted.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.long
@pytest.mark.parametrize(
    "experiment", ["full", "lsd_average_pool", "perceiver_resampler", "eve", "video_llava", "teacher_internvideo2"]
)
def test_no_operation_of_a_step_lacks_a_deterministic_kernel(run, monkeypatch, experiment):
    mode, optimize = Refused(), VideoLanguageModel.optimizer_step

    def watched(self, *arguments, **options):  # forward and backward pass run within
        with mode:
            return optimize(self, *arguments, **options)

    monkeypatch.setattr(VideoLanguageModel, "optimizer_step", watched)
    run("fit", f"--config=experiments/{experiment}.yaml", "--trainer.fast_dev_run=1", DETERMINISTIC)
    assert torch.are_deterministic_algorithms_enabled()
    assert mode.noted == [] and {"nll_loss_backward", "embedding_dense_backward"} <= mode.seen


def test_two_trainings_are_the_same(run):
    first, second = (run("fit", "--config=experiments/full.yaml", *SHORT, DETERMINISTIC) for _ in range(2))
    assert losses(first.folder) == losses(second.folder)
    ours, theirs = (dict(cli.model.named_parameters()) for cli in (first, second))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
