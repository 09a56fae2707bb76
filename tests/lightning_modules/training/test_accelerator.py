"""Devices that are absent, too old or too small are one line that says what can be done; TF32 is a choice."""

import os

import pytest
import torch
from jsonargparse import Namespace

from lightning_modules.experiment_cli import ExperimentCLI
from lightning_modules.training.accelerator import check_cuda, check_devices, use_own_device, use_tf32
from lightning_modules.training.provenance import environment
from tests.lightning_modules.short_run import NO_LSTE

CUDA = torch.device("cuda", 0)


@pytest.fixture
def cuda(monkeypatch):
    """A machine that seems to have one CUDA device, without bfloat16; returns the patcher."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda.device, "__enter__", lambda self: None)
    monkeypatch.setattr(torch.cuda.device, "__exit__", lambda self, *_: False)
    return monkeypatch


def failed(fails, tiny, tmp_path, *arguments):
    arguments = [*tiny, *arguments]
    status, error = fails("fit", *NO_LSTE, f"--runs={tmp_path / 'runs'}", *arguments)
    assert status == 1 and error.strip().splitlines()[-1].startswith("error: ")
    return error.strip().splitlines()[-1]


def test_no_cuda(fails, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    output = failed(fails, tiny, tmp_path, "--trainer.accelerator=gpu")
    assert "trainer.accelerator is gpu, but PyTorch" in output and output.endswith("without a GPU set it to cpu")
    assert not (tmp_path / "runs").exists(), "found before a run begins"
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert "is built without CUDA" in failed(fails, tiny, tmp_path, "--trainer.accelerator=cuda")


def test_an_old_driver(cuda):
    def refused():
        raise RuntimeError("The NVIDIA driver on your system is too old\n(found version 11040).")

    cuda.setattr(torch.cuda, "init", refused)
    with pytest.raises(ValueError, match=r"too old \(found version 11040\)\. \(trainer.accelerator=cpu needs none\)"):
        check_cuda(CUDA, "32-true")
    check_cuda(torch.device("cpu"), "bf16-mixed")


def test_a_device_without_bfloat16(cuda):
    for precision in ("bf16-mixed", "bf16-true"):
        with pytest.raises(ValueError, match=f"trainer.precision is {precision}, and Tesla T4 has no bfloat16"):
            check_cuda(CUDA, precision)
    check_cuda(CUDA, "32-true")
    cuda.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    check_cuda(CUDA, "bf16-mixed")


def test_more_devices_than_there_are(fails, tiny, tmp_path, monkeypatch):
    cores = os.cpu_count()
    output = failed(fails, tiny, tmp_path, f"--trainer.devices={cores + 1}")
    assert f"trainer.devices is {cores + 1}" in output and f"this machine has {cores} cores" in output
    check_devices(Namespace(accelerator="cpu", devices=cores))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    output = failed(fails, tiny, tmp_path, "--trainer.accelerator=gpu", "--trainer.devices=4")
    assert "You requested gpu: [0, 1, 2, 3] But your machine only has: [0, 1]" in output


@pytest.mark.parametrize("name", ["LOCAL_RANK", "SLURM_LOCALID"])
@pytest.mark.parametrize(("devices", "own"), [([2, 3], [2, 3]), ("2,3", [2, 3]), ("1,", [1]), (2, [1]), ("auto", [1])])
def test_a_process_builds_on_the_device_that_it_trains_on(monkeypatch, name, devices, own):
    used = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("SLURM_LOCALID", raising=False)
    use_own_device(devices)
    monkeypatch.setenv(name, "1")
    use_own_device(devices)
    use_own_device([0, 7])  # Lightning says that there is none
    assert used == own


def test_it_does_so_before_the_model_is_built(fails, tiny, tmp_path, monkeypatch):
    def taken(device):
        raise torch.OutOfMemoryError(f"on cuda:{device}")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", taken)
    said = failed(fails, tiny, tmp_path, "--trainer.accelerator=auto", "--trainer.devices=[2,3]")
    assert "does not suffice: on cuda:2" in said


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79 GiB."), "the GPU"),
        (
            RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: 9 bytes"),
            "this machine",
        ),
    ],
)
def test_too_little_memory_is_said_with_what_needs_less(fails, tiny, tmp_path, monkeypatch, error, place):
    def exhausted(self):
        raise error

    monkeypatch.setattr(ExperimentCLI, "before_instantiate_classes", exhausted)
    output = failed(fails, tiny, tmp_path)
    assert f"the memory of {place} does not suffice" in output
    for word in ("video-panda plan", "batch_size", "gradient_checkpointing", "LoRA", "fsdp.yaml"):
        assert word in output


@pytest.mark.parametrize("name", ["LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_PORT", "SLURM_LOCALID"])
@pytest.mark.parametrize("value", ["two", "-1", ""])
def test_a_rank_that_is_no_number(fails, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    status, error = fails("fit", *NO_LSTE)
    assert status == 1 and error.startswith(f"error: the environment variable {name} is {value!r}; it must be a whole")


def test_the_precision_of_products_is_a_fact_of_a_run(run):
    cli = run("test", *NO_LSTE)
    assert environment(cli.trainer)["float32_matmul"] == "highest", "on a CPU"


def test_tf32_is_used_on_cuda_only_and_a_choice_of_the_user_stays(monkeypatch):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    before = torch.get_float32_matmul_precision()

    def precision_after(device, chosen="highest"):
        torch.set_float32_matmul_precision(chosen)
        use_tf32(device)
        return torch.get_float32_matmul_precision()

    try:
        assert precision_after(torch.device("cpu")) == "highest"
        assert precision_after(CUDA) == "high"
        assert precision_after(CUDA, "medium") == "medium"
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
        assert precision_after(CUDA) == "highest"
    finally:
        torch.set_float32_matmul_precision(before)
