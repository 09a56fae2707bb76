"""A training that starts from EVE: the parts that it shares with Video-Panda are its own, the others begin anew."""

import json

import pytest
import torch
from safetensors.torch import load_file

from components.language_models import EVECausalLM
from lightning_modules.cli import main
from tests.components.official_folder import CONFIG, official_tensors, save_official

SHARED = ("patch_embedding", "class_embedding", "split_embedding", "local_attention", "global_attention")
EVE = {key: value for key, value in CONFIG.items() if key != "video_hidden_size"}
EVE |= {"model_type": "eve", "architectures": ["EVELlamaForCausalLM"], "mm_hidden_size": CONFIG["video_hidden_size"]}


def eve_tensors():
    """Those of the official model that EVE has, by EVE's names; and its teacher."""
    tensors = official_tensors()
    shared = tuple(f"model.vision_tower.{part}" for part in SHARED)
    computed = {
        key: tensor
        for key, tensor in tensors.items()
        if not key.startswith(("model.v", "model.mm_projector.")) or key.startswith((*shared, "model.mm_projector."))
    }
    computed |= {
        key.replace("video_tower_compressor", "vision_tower_compressor"): tensor
        for key, tensor in tensors.items()
        if key.startswith("model.video_tower_compressor.")
    }
    return computed | {"model.vision_clip.backbone.vision_model.post_layernorm.bias": torch.ones(4)}


@pytest.fixture
def source(tmp_path):
    return save_official(tmp_path / "eve", eve_tensors(), config=EVE)


def test_a_run_starts_from_it(run, source, tmp_path, capsys):
    out = tmp_path / "ours"
    main(["import-eve", str(source), "--out", str(out)])
    weights = load_file(out / "weights.safetensors")
    assert {name.split(".")[1] for name in weights if name.startswith("encoder.")} == {
        "patch_embedding", "row_tokens", "downsampling", "frame_aggregator",
    }  # fmt: skip
    cli = run("validate", "--config=experiments/full.yaml", f"--config={out / 'config.yaml'}",
              "--model.encoder.width=1024", "--model.encoder.patch_size=14", "--model.distillation.every=4",
              "--model.teacher.weights={width: 1024, layers: 2, heads: 2}", "--data.canvas=56",
              "--trainer.limit_val_batches=1")  # fmt: skip
    ours = cli.model.state_dict()
    assert weights and all(torch.equal(ours[name], tensor) for name, tensor in weights.items())
    assert isinstance(cli.model.language_model, EVECausalLM)
    output = capsys.readouterr().out
    assert f"loaded: {len(weights)} tensors" in output and "ignored: 0 tensors" in output
    (fresh,) = (line for line in output.splitlines() if line.strip().startswith("fresh:"))
    parts = {text.split(" ")[0] for text in fresh.split(": ")[-1].split(", ")}
    assert {"encoder.local_encoding", "encoder.video_aggregator", "encoder.fusion"} <= parts
    assert not parts & {"encoder.downsampling", "encoder.frame_aggregator", "projector.layers", "distillation.head"}


def test_what_has_no_counterpart_is_named(source, tmp_path, capsys):
    tensors = eve_tensors() | {"model.vision_tower.tile_embedding": torch.ones(3)}
    save_official(source, tensors, config=EVE)
    main(["import-eve", str(source), "--out", str(tmp_path / "ours")])
    assert "without a counterpart here: 1 tensors: tile_embedding" in capsys.readouterr().out


def test_what_is_no_eve_is_refused(source, tmp_path, fails):
    out = ("--out", str(tmp_path / "ours"))
    wrong = eve_tensors()
    wrong["model.vision_tower.split_embedding"] = torch.ones(3)
    save_official(source, wrong, config=EVE)
    status, error = fails("import-eve", str(source), *out)
    assert status == 1 and "split_embedding has shape [3]" in error
    for change, message in (
        ({"model_type": "llama"}, "has model_type 'llama', not 'eve'"),
        ({"mm_hidden_size": None}, "mm_hidden_size"),
    ):
        (source / "config.json").write_text(json.dumps({k: v for k, v in (EVE | change).items() if v is not None}))
        status, error = fails("import-eve", str(source), *out)
        assert status == 1 and message in error
    assert not (tmp_path / "ours").exists()
