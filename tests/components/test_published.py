"""Models that are built for their sizes: no weights, no download, and the published number of parameters."""

import pytest
import torch

from components.language_models import EVECausalLM, PretrainedCausalLM
from components.published import only_sizes, sizes_of
from components.teachers import CLIPTeacher, DINOv2Teacher, InternVideo2Teacher, LanguageBindTeacher
from components.vision_transformers import PretrainedCLIP, PretrainedLanguageBind
from tests.components.tiny_networks import save_tiny_network


def parameters(module):
    assert all(parameter.is_meta for parameter in module.parameters())
    return sum(parameter.numel() for parameter in module.parameters())


# As the hub shows them.
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("lmsys/vicuna-7b-v1.5", 6_738_415_616),
        ("lmsys/vicuna-7b-v1.5-16k", 6_738_415_616),
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("mistralai/Mistral-7B-Instruct-v0.3", 7_248_023_552),
        ("microsoft/Phi-3-mini-4k-instruct", 3_821_079_552),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("google/gemma-2-9b-it", 9_241_705_984),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008),
        ("HuggingFaceTB/SmolLM2-360M-Instruct", 361_821_120),
        ("Qwen/Qwen3-0.6B", 596_049_920),
    ],
)
def test_a_language_model_has_its_published_size(name, count):
    with torch.device("meta"):
        assert parameters(PretrainedCausalLM(name)) == count


def test_the_llama_in_eve_has_the_size_of_vicuna():
    with torch.device("meta"):
        assert parameters(EVECausalLM("BAAI/EVE-7B-Pretrain-v1.0")) == 6_738_415_616


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (PretrainedCLIP, 290_581_504),  # up to the last but one layer
        (PretrainedLanguageBind, 387_380_224),
        (LanguageBindTeacher, 387_380_224),
        (CLIPTeacher, None),
        (DINOv2Teacher, None),
        (InternVideo2Teacher, None),
    ],
)
def test_vision_networks_need_no_files(build, count):
    with torch.device("meta"):
        assert parameters(build()) > 2e8 if count is None else parameters(build()) == count


def test_a_folder_says_it_itself(tmp_path):
    folder = save_tiny_network("llama", tmp_path)
    with torch.device("meta"):
        sized = PretrainedCausalLM(str(folder))
    loaded = PretrainedCausalLM(str(folder))
    assert parameters(sized) == sum(parameter.numel() for parameter in loaded.parameters())
    assert sized.width == loaded.width


def test_weights_are_left_out_on_the_meta_device_only():
    assert not only_sizes()
    with torch.device("meta"):
        assert only_sizes()


def test_an_unknown_model_is_an_error():
    with pytest.raises(ValueError, match=r"a\.key is 'nobody/nothing'.*lmsys/vicuna-7b-v1\.5"):
        sizes_of("nobody/nothing", "a.key")


def test_a_broken_config_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        sizes_of(str(tmp_path), "a.key")
