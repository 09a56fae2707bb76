"""What an encoder is made of, whether each part matters, and what is gone of its base."""

import warnings

import pytest
import torch
from torch import nn

from components.encoders import STAB
from components.registry import slots
from components.stab import NoLocalEncoding, NoRowTokens
from lightning_modules.callbacks import PartReport
from lightning_modules.callbacks.part_report import effects, inert, parts, report, without
from lightning_modules.resolve import resolve_at_paper_scale
from lightning_modules.training.checkpoint import CheckpointError, check_same_model
from lightning_modules.video_language import VideoLanguageModel
from tests.lightning_modules.short_run import NO_LSTE, SHORT, losses

SIZE = {"width": 24, "patch_size": 4}


def without_memory(**slots):
    with torch.device("meta"):
        return STAB(**SIZE, **slots)


def with_dead_part():
    encoder = STAB(**SIZE, local_encoding=NoLocalEncoding)
    encoder.local_encoding.unused = nn.Linear(5, 7)
    return encoder


def test_every_part_with_parameters_moves_the_tokens_and_nothing_else_is_touched():
    encoder = STAB(**SIZE).train()
    encoder.downsampling.eval()
    weights = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    modes = [part.training for part in encoder.modules()]
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    found = effects(encoder)
    assert set(found) == {path for path, part in parts(encoder).items() if list(part.parameters())}
    assert "local_encoding.position_encoding" in found and min(found.values()) > 1e-4 and not inert(found)
    assert all(torch.equal(weight, weights[name]) for name, weight in encoder.state_dict().items())
    assert [part.training for part in encoder.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random) and torch.get_num_threads() == threads


def test_a_part_that_is_not_used_is_found_and_warned_about():
    found = effects(with_dead_part())
    assert found["local_encoding"] == 0 and inert(found) == ["local_encoding"]
    with pytest.warns(
        UserWarning, match=r"model.encoder.local_encoding \(NoLocalEncoding\) has 42 parameters that cha"
    ):
        text = report(with_dead_part(), None)
    assert "**Warning: model.encoder.local_encoding (NoLocalEncoding)" in text


def test_noise_on_a_part_whose_weights_are_all_zero_counts_too():
    encoder = STAB(**SIZE)
    nn.init.zeros_(encoder.fusion.balance)
    nn.init.zeros_(encoder.row_tokens.token)
    assert effects(encoder)["row_tokens"] > 1e-4


def test_of_a_removed_part_no_tensor_is_left():
    base, encoder = without_memory(), STAB(**SIZE, local_encoding=NoLocalEncoding)
    gone = without(encoder, base)
    assert gone == {
        f"local_encoding.{name}": tuple(weight.shape) for name, weight in base.local_encoding.named_parameters()
    }
    assert not without(base, encoder)
    text = report(encoder, base)
    before, listed = text.split("## All tensors")
    assert "local_encoding" not in listed and len(listed.split("```")[1].split("\n")[1:-1]) == len(
        list(encoder.parameters())
    )
    assert all(name in before.split("## Gone")[1].split("## New")[0] for name in gone)
    number = sum(parameter.numel() for parameter in base.local_encoding.parameters())
    row = next(line for line in before.splitlines() if line.startswith("| local_encoding |"))
    assert row == f"| local_encoding | NoLocalEncoding | 0 | 0.0% | - | LSTE | {number:,} |"


def test_a_tensor_of_another_shape_is_gone_and_new():
    wide, narrow = STAB(width=32, patch_size=4, row_tokens=NoRowTokens), STAB(**SIZE, row_tokens=NoRowTokens)
    assert without(narrow, wide)["fusion.balance"] == (32,) and without(wide, narrow)["fusion.balance"] == (24,)


@pytest.mark.parametrize("why", ["its weights are not in the memory", "of this size, no clip"])
def test_what_could_not_be_tried_is_said(monkeypatch, why):
    encoder = STAB(**SIZE)
    if "memory" in why:
        encoder = without_memory()
    else:

        def refuses(shapes):
            raise ValueError(why)

        monkeypatch.setattr(encoder, "layout", refuses)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = report(encoder, None)
    assert f"Whether its parts matter was not tried: {why}" in text and "| local_encoding | LSTE |" in text


def test_an_encoder_that_breaks_on_the_clip_ends_no_training(monkeypatch):
    encoder = STAB(**SIZE)

    def breaks(*_):
        raise RuntimeError("shape '[3]' is invalid")

    monkeypatch.setattr(encoder, "forward", breaks)
    with pytest.warns(UserWarning, match=r"parts.md: whether the encoder's parts matter was not tried: RuntimeError"):
        text = report(encoder, None)
    assert "was not tried: shape '[3]' is invalid" in text


@pytest.mark.long
def test_a_training_has_it_and_the_same_losses_as_one_without(run, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = run("fit", *NO_LSTE, *SHORT).folder
    written = (first / "parts.md").read_text()
    assert "| local_encoding | NoLocalEncoding | 0 |" in written and "Warning" not in written
    events = EventAccumulator(str(first))
    events.Reload()
    assert events.Tensors("parts/text_summary")[0].tensor_proto.string_val[0].decode() == written
    with monkeypatch.context() as patch:
        patch.setattr(PartReport, "setup", lambda *_, **__: None)
        other = run("fit", *NO_LSTE, *SHORT).folder
    assert not (other / "parts.md").exists() and losses(first) == losses(other)
    # One that goes on keeps what is known of its beginning.
    run("fit", *NO_LSTE, "--trainer.max_epochs=3", f"--ckpt_path={first / 'checkpoints' / 'last.ckpt'}")
    assert (first / "parts.md").read_text() == written


def names_of(experiment, *flags):
    return (
        resolve_at_paper_scale([f"experiments/{experiment}.yaml", "configs/scale/toy.yaml"], flags)
        .model_on_meta()
        .component_names()
    )


def test_every_slot_is_watched_and_nothing_else():
    watched = {path.rpartition(".")[2] for name in ("full", "video_llava") for path in names_of(name)}
    in_no_checkpoint = {"feature_cache", "quantization"}  # how features and a frozen base are kept
    assert watched == set(slots(VideoLanguageModel, ("components.",))) - in_no_checkpoint


def test_a_part_without_tensors_of_its_own_makes_another_model():
    full, half = names_of("full"), names_of("full", "--model.encoder.patch_embedding=HalfResolution")
    with pytest.raises(CheckpointError, match=r"encoder\.patch_embedding: PatchEmbedding -> HalfResolution"):
        check_same_model({"components": full}, half, {})


def test_what_an_earlier_version_did_not_note_is_said_to_be_unknown():
    full = names_of("full")
    earlier = {slot: name for slot, name in full.items() if slot != "encoder.patch_embedding"}
    with pytest.warns(UserWarning, match=r"did not note what fills encoder\.patch_embedding"):
        check_same_model({"components": earlier}, full, {})
    del earlier["encoder"]
    with pytest.raises(CheckpointError, match="encoder: - -> STAB"):
        check_same_model({"components": earlier}, full, {})
