"""How YAML and flags name language models and the formats of their prompts."""

import pytest

import components.language_models as family
from components.language_models import ChatTemplate, LanguageModel, ShortPrompt, TinyLlama, VicunaV1, VideoPandaV1


def test_flags_choose_a_language_model(language_model_parser):
    model = built(language_model_parser, "--language_model=TinyLlama", "--language_model.width=32")
    assert isinstance(model, TinyLlama)
    assert model.width == 32
    assert isinstance(model.text.prompt, ShortPrompt)
    model = built(language_model_parser, "--language_model=TinyLlama", "--language_model.prompt=VicunaV1")
    assert isinstance(model.text.prompt, VicunaV1)


def built(language_model_parser, *arguments):
    return language_model_parser.instantiate(language_model_parser.parse_args(list(arguments))).language_model


@pytest.mark.parametrize("prompt", [VideoPandaV1, ChatTemplate])
def test_another_format_does_not_take_over_the_system_text_of_the_default(saved_llama, language_model_parser, prompt):
    chosen = ["--language_model=PretrainedCausalLM", f"--language_model.prompt={prompt.__name__}"]
    arguments = language_model_parser.parse_args([*chosen, f"--language_model.name_or_path={saved_llama}"])
    assert arguments.language_model.init_args.prompt.init_args.system is None
    assert "curious human" in VideoPandaV1().opening
    assert "curious user" in VicunaV1().opening


def test_yaml_sets_the_system_text(language_model_parser, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        "language_model:\n  class_path: TinyLlama\n  init_args:\n    prompt:\n      class_path: VicunaV1\n"
        "      init_args: {system: Be brief.}\n"
    )
    assert built(language_model_parser, f"--config={config}").text.prompt.opening == "Be brief. USER: "
    # A saved configuration builds the same again.
    saved = tmp_path / "saved.yaml"
    saved.write_text(language_model_parser.dump(language_model_parser.parse_args([f"--config={config}"])))
    assert built(language_model_parser, f"--config={saved}").text.prompt.opening == "Be brief. USER: "


def test_every_language_model_is_in_the_package():
    names = {cls.__name__ for cls in LanguageModel.__subclasses__() if cls.__module__.startswith("components.")}
    assert names <= set(family.__all__)
