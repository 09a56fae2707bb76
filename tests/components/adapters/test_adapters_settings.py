"""Settings of adapters: what they mean, what is refused, and how YAML names them."""

import pytest

import components.adapters as family
from components.adapters import Adapter, LoRA, QLoRA
from tests.components.adapted_networks import adapted, learning


def test_target_modules(tiny_folders):
    model = adapted(tiny_folders["llama"], lambda: LoRA(target_modules=["q_proj", "layers.1.mlp.up_proj"]))
    changed = {name.split(".lora_")[0].removeprefix("network.base_model.model.model.") for name in learning(model)}
    assert changed == {*(f"layers.{i}.self_attn.q_proj" for i in range(3)), "layers.1.mlp.up_proj"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, r"adapter\.init_args\.rank: 0 is not at least 1"),
        ({"alpha": 0}, r"alpha: 0"),
        ({"dropout": 1.0}, r"dropout: 1\.0"),
        ({"target_modules": []}, r"target_modules is empty"),
    ],
)
@pytest.mark.parametrize("kind", [LoRA, QLoRA])
def test_a_value_out_of_range(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_a_target_that_does_not_exist_is_named_though_another_does(tiny_folders):
    with pytest.raises(ValueError, match=r"no linear layer query, wv; it has .*k_proj, lm_head, .*q_proj"):
        adapted(tiny_folders["llama"], lambda: LoRA(target_modules=["q_proj", "query", "wv"]))


def test_flags_choose_an_adapter(language_model_parser):
    flags = ["--language_model=TinyLlama", "--language_model.adapter=LoRA", "--language_model.adapter.rank=2"]
    model = language_model_parser.instantiate(language_model_parser.parse_args(flags)).language_model
    assert isinstance(model.adapter, LoRA)
    assert model.adapter.rank == 2


def test_yaml_chooses_an_adapter(language_model_parser, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "language_model:\n  class_path: TinyLlama\n  init_args:\n    adapter:\n      class_path: LoRA\n"
        "      init_args: {rank: 2, target_modules: [q_proj, v_proj]}\n"
    )
    arguments = language_model_parser.parse_args([f"--config={config}"])
    saved = tmp_path / "saved.yaml"
    saved.write_text(language_model_parser.dump(arguments))
    for file in (config, saved):
        model = language_model_parser.instantiate(language_model_parser.parse_args([f"--config={file}"])).language_model
        assert sum("lora_A" in name for name in learning(model)) == 4


def test_every_adapter_is_in_the_package():
    def below(cls):
        return {cls, *(c for child in cls.__subclasses__() for c in below(child))}

    assert {cls.__name__ for cls in below(Adapter)} - {"PeftAdapter"} <= set(family.__all__)
