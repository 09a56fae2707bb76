"""The language model of an EVE checkpoint: the Llama in it, with everything else named and nothing unexplained."""

import pytest
import torch

from components.language_models import EVECausalLM, PretrainedCausalLM, ShortPrompt
from tests.components.eve_folder import VISION, save_eve
from tests.components.tiny_networks import save_tiny_network


@pytest.mark.parametrize("pickled", [True, False])
def test_it_is_the_llama_in_it(tmp_path, pickled):
    plain = PretrainedCausalLM(save_tiny_network("llama", tmp_path / "plain", max_length=2048), prompt=ShortPrompt)
    model = EVECausalLM(save_eve(tmp_path / "eve", pickled), prompt=ShortPrompt)
    ids = torch.arange(40).view(2, 20)
    assert torch.equal(model.eval().network(ids).logits, plain.eval().network(ids).logits)
    assert model.base_names == plain.base_names
    assert set(VISION) - set(model.left_aside) <= {"model.layers.0.self_attn.rotary_emb.inv_freq"}
    assert set(model.left_aside) <= set(VISION) and plain.left_aside == ()


def test_exported_it_is_a_plain_language_model(tmp_path):
    model = EVECausalLM(save_eve(tmp_path / "eve"), prompt=ShortPrompt)
    assert model.export(tmp_path / "plain") == "PretrainedCausalLM"
    again = PretrainedCausalLM(str(tmp_path / "plain"), prompt=ShortPrompt)
    ids = torch.arange(40).view(2, 20)
    assert torch.equal(again.eval().network(ids).logits, model.eval().network(ids).logits)


def test_a_key_that_is_not_explained_is_an_error(tmp_path):
    folder = save_eve(tmp_path / "eve", more=["model.audio_tower.weight"])
    with pytest.raises(ValueError, match=r"holds 1 tensors that are none of EVE's: model\.audio_tower\.weight"):
        EVECausalLM(folder)


def test_a_missing_part_is_an_error(tmp_path):
    folder = save_eve(tmp_path / "eve")
    (tmp_path / "eve" / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(ValueError, match=r"could not be loaded .*pytorch_model-00002-of-00002\.bin"):
        EVECausalLM(folder)


@pytest.mark.parametrize("family", ["llama", "videopanda"])
def test_another_family_is_an_error(tmp_path, family):
    folder = save_eve(tmp_path / "eve", model_type=family)
    with pytest.raises(ValueError, match=rf"config\.json has model_type '{family}', not 'eve'; for a plain"):
        EVECausalLM(folder)
    with pytest.raises(ValueError, match="could not be loaded"):
        EVECausalLM(str(tmp_path / "nowhere"))


def test_a_plain_language_model_does_not_take_it_for_its_own(tmp_path):
    with pytest.raises(ValueError, match="could not be loaded"):
        PretrainedCausalLM(save_eve(tmp_path / "eve"))
