"""What is sharded over devices: the layers, each by itself; run by two processes of different needs."""

import os
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from components.adapters import LoRA
from components.encoders import STAB, CLIPFrames
from components.language_models import TinyLlama
from components.splice import PaddingSide, plan_splice
from components.vision_transformers import CLIPViT, LanguageBindViT


def tower(kind):
    return lambda width, patch_size: kind(16, 4, image_size=8, layers=3, heads=2)


@pytest.mark.parametrize("adapter", [{}, {"adapter": LoRA}])
def test_the_units_of_a_language_model_are_its_layers(adapter):
    model = TinyLlama(width=16, layers=3, heads=2, **adapter)
    units = model.units()
    assert [type(unit).__name__ for unit in units] == ["LlamaDecoderLayer"] * 3
    inside = sum(parameter.numel() for unit in units for parameter in unit.parameters())
    vocabulary = model.network.get_input_embeddings().weight.numel()
    assert inside == sum(parameter.numel() for parameter in model.parameters()) - 2 * vocabulary - model.width


def test_the_units_of_an_encoder_are_the_layers_of_its_tower():
    assert STAB(width=16, patch_size=4).units() == []
    assert len(CLIPFrames(tower=tower(CLIPViT)).units()) == 2  # the last but one gives the features
    assert len(CLIPFrames(tower=tower(LanguageBindViT)).units()) == 4  # attention in time has layers of its own


def two_processes(rank, rendezvous):
    """Sharded, two processes answer as one does that has the whole model, one of them in fewer steps."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=30), init_method=rendezvous, rank=rank, world_size=2)
    torch.manual_seed(0)
    model = TinyLlama(width=16, layers=3, heads=2).eval()
    plan = plan_splice([torch.arange(5) + 10], [], None, padding_side=PaddingSide.LEFT, pad_id=0, max_length=64)
    if rank == 1:  # its answer ends with what happens to be the first token
        first = model.generate(model.embed(plan.input_ids), plan, 1)
        model.text.end_id = int(first)
    expected = model.generate(model.embed(plan.input_ids), plan, 5)
    assert expected.shape[1] == (5, 1)[rank]

    mesh = init_device_mesh("cpu", (1, 2), mesh_dim_names=("machines", "devices"))
    whole = sum(parameter.numel() for parameter in model.parameters())
    for unit in model.units():
        fully_shard(unit, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for method in ("embed", "generate"):
        register_fsdp_forward_method(model, method)
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    here = sum(parameter.to_local().numel() for parameter in model.parameters())
    assert here == pytest.approx(whole / 2, rel=0.1)
    answer = model.generate(model.embed(plan.input_ids), plan, 5, together=True)
    assert torch.equal(answer, expected)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.long
def test_processes_of_a_sharded_model_may_answer_at_different_lengths(tmp_path):
    torch.multiprocessing.spawn(two_processes, (f"file://{tmp_path / 'rendezvous'}",), nprocs=2)
