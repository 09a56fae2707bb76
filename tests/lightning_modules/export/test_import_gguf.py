"""A language model in a GGUF file becomes a folder that trains like any other, and what is no such file is one line."""

import builtins
import hashlib
import shutil
import zipfile

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType
from gguf.quants import dequantize, quantize
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from components.language_models import PretrainedCausalLM
from components.language_models.chat_template import ChatTemplate
from lightning_modules.cli import main

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "l l", "he ll", "Ġ w"]
VOCABULARY = [*SPECIAL, *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HEADS, KEY_HEADS, LAYERS = 4, 2, 2
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
QUANTIZED = {"attn_v": GGMLQuantizationType.Q4_1, "ffn_gate": GGMLQuantizationType.Q8_0}


def network():
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(VOCABULARY), hidden_size=64, intermediate_size=96, num_hidden_layers=LAYERS,
                         num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS, max_position_embeddings=512,
                         rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
                         tie_word_embeddings=True, initializer_range=0.2)  # fmt: skip
    return LlamaForCausalLM(config).eval()


def pairs_beside_each_other(weight, heads):
    """Reorder the rows of a head as llama.cpp rotates them: neighbours, where transformers takes two halves."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def save_gguf(file, architecture="llama", model=None, leave_out=(), licence="apache-2.0"):
    """Write a model in GGUF, in some tensors rounded, and round the same tensors of the model."""
    model = network() if model is None else model
    writer = GGUFWriter(file, architecture)
    writer.add_name("Tiny Chat")
    if licence:
        writer.add_license(licence)
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(5000.0)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([TokenType.CONTROL if token in SPECIAL else TokenType.NORMAL for token in VOCABULARY])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    writer.add_tensor("token_embd.weight", model.model.embed_tokens.weight.detach().numpy())
    writer.add_tensor("output_norm.weight", model.model.norm.weight.detach().numpy())
    for number, layer in enumerate(model.model.layers):
        for name, theirs in NAMES.items():
            if theirs in leave_out:
                continue
            parameter = layer.get_parameter(f"{name}.weight")
            weight = parameter.detach().numpy()
            if theirs in QUANTIZED:
                rounded = quantize(weight, QUANTIZED[theirs])
                parameter.data = torch.from_numpy(dequantize(rounded, QUANTIZED[theirs]).copy())
                writer.add_tensor(f"blk.{number}.{theirs}.weight", rounded, raw_dtype=QUANTIZED[theirs])
                continue
            if theirs in ("attn_q", "attn_k"):
                weight = pairs_beside_each_other(weight, HEADS if theirs == "attn_q" else KEY_HEADS)
            writer.add_tensor(f"blk.{number}.{theirs}.weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture
def file(tmp_path):
    save_gguf(tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


def imported(file, out, capsys):
    main(["import-gguf", str(file), "--out", str(out)])
    return capsys.readouterr().out


@pytest.fixture
def refused(fails, tmp_path):
    """Import what must be refused; returns the message."""

    def message_of(source):
        status, error = fails("import-gguf", str(source), "--out", str(tmp_path / "new"))
        assert status == 1 and not (tmp_path / "new").exists()
        (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
        return line

    return message_of


@torch.no_grad()
def test_it_is_the_model_of_the_file(tmp_path, capsys):
    expected = save_gguf(tmp_path / "tiny.gguf")
    output = imported(tmp_path / "tiny.gguf", tmp_path / "folder", capsys)
    assert "Tiny Chat (llama), licence apache-2.0" in output and f"written to {tmp_path / 'folder'}" in output
    actual = AutoModelForCausalLM.from_pretrained(tmp_path / "folder")
    assert actual.dtype == torch.float32
    ids = torch.arange(len(VOCABULARY))[None]
    torch.testing.assert_close(actual(ids).logits, expected(ids).logits, rtol=1e-5, atol=1e-5)
    settings = GenerationConfig.from_pretrained(tmp_path / "folder")
    assert (settings.bos_token_id, settings.eos_token_id) == (1, 2)


def test_its_text_and_chat_template_are_those_of_the_file(file, tmp_path, capsys):
    imported(file, tmp_path / "folder", capsys)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "folder")
    assert tokenizer.convert_ids_to_tokens(tokenizer("hello w<|im_end|>").input_ids) == ["hell", "o", "Ġw", SPECIAL[2]]
    model = PretrainedCausalLM(str(tmp_path / "folder"), ChatTemplate)
    turns = [("What is it?", "An  été.")]
    ids = model.text.encode(turns).input_ids
    text = tokenizer.decode(ids[ids >= 0])  # without the place of the clip
    start, end = "<|im_start|>", "<|im_end|>"
    assert text.replace("\n", "|") == f"{start}user||What is it?{end}|{start}assistant|An  été.{end}"
    assert model.text.end_id == 2 and model.max_length == 512


def test_its_card_says_where_it_comes_from(file, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "package.whl", "w") as wheel:
        wheel.write(file, "package/tiny.gguf")
        wheel.writestr("package/__init__.py", "")
    assert "model.gguf" not in imported(tmp_path / "package.whl", tmp_path / "folder", capsys)
    card = (tmp_path / "folder" / "README.md").read_text()
    assert "\nlicense: apache-2.0\n" in card.partition("\n---\n\n")[0] + "\n"
    assert hashlib.sha256(file.read_bytes()).hexdigest() in card
    assert "package/tiny.gguf of package.whl" in card and "Q4_1: 2" in card and str(tmp_path) not in card
    for written in (tmp_path / "folder").glob("*.json"):
        assert str(tmp_path) not in written.read_text()


def test_without_a_licence_none_is_stated(tmp_path, capsys):
    save_gguf(tmp_path / "tiny.gguf", licence=None)
    assert "licence not stated" in imported(tmp_path / "tiny.gguf", tmp_path / "folder", capsys)
    assert "license:" not in (tmp_path / "folder" / "README.md").read_text()


def test_files_beside_it_play_no_part(file, tmp_path, capsys):
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json"):
        (tmp_path / name).write_text('{"model_type": "gpt2", "tokenizer_class": "GPT2Tokenizer"}')
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "another"}')
    imported(file, tmp_path / "folder", capsys)
    assert PretrainedCausalLM(str(tmp_path / "folder"), ChatTemplate).text.end_id == 2


def test_what_is_no_gguf_file(refused, tmp_path):
    assert "there is no file" in refused(tmp_path / "gone.gguf")
    assert "there is no file" in refused(tmp_path)
    (tmp_path / "text.gguf").write_text("version https://git-lfs.github.com/spec/v1")
    assert "text.gguf is no GGUF file: it begins with b'vers'" in refused(tmp_path / "text.gguf")


@pytest.mark.parametrize(("names", "message"), [([], "has 0 GGUF files (none)"), (["a", "b"], "(a.gguf, b.gguf)")])
def test_a_wheel_without_one_gguf_file(refused, file, tmp_path, names, message):
    with zipfile.ZipFile(tmp_path / "package.whl", "w") as wheel:
        wheel.writestr("readme.txt", "")
        for name in names:
            wheel.write(file, f"{name}.gguf")
    assert message in refused(tmp_path / "package.whl")


def test_a_damaged_wheel(refused, file, tmp_path):
    with zipfile.ZipFile(tmp_path / "package.whl", "w") as wheel:
        wheel.write(file, "tiny.gguf")
    content = bytearray((tmp_path / "package.whl").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "package.whl").write_bytes(content)
    assert "package.whl is damaged: Bad CRC-32" in refused(tmp_path / "package.whl")


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.1, 0.5, 0.99])
def test_a_truncated_file(refused, file, share):
    content = file.read_bytes()
    file.write_bytes(content[: max(4, int(len(content) * share))])
    assert "tiny.gguf cannot be read as a language model in GGUF" in refused(file)


def test_a_file_with_a_hole(refused, tmp_path):
    save_gguf(tmp_path / "tiny.gguf", leave_out=("ffn_up",))
    error = refused(tmp_path / "tiny.gguf")
    assert "lacks 2 tensors of a LlamaForCausalLM, such as model.layers.0.mlp.up_proj.weight" in error


def test_a_number_that_is_none(refused, tmp_path):
    model = network()
    model.model.norm.weight.data[3] = torch.nan
    save_gguf(tmp_path / "tiny.gguf", model=model)
    assert "model.norm.weight has NaN or infinite values" in refused(tmp_path / "tiny.gguf")


def test_an_architecture_that_transformers_does_not_know(refused, tmp_path):
    save_gguf(tmp_path / "tiny.gguf", architecture="wavtokenizer-dec")
    assert "wavtokenizer-dec" in refused(tmp_path / "tiny.gguf")


def test_a_folder_that_exists(fails, file, tmp_path):
    shutil.copytree(tmp_path, tmp_path / "full")
    status, error = fails("import-gguf", str(file), "--out", str(tmp_path / "full"))
    assert status == 1 and "full is not empty; name a new folder with --out" in error


def test_the_package_that_is_missing(refused, file, monkeypatch):
    original = builtins.__import__

    def without_gguf(name, *rest):
        if name == "gguf":
            raise ImportError("No module named 'gguf'")
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_gguf)
    assert "needs the package gguf: pip install 'video-panda-lightning[gguf]'" in refused(file)
