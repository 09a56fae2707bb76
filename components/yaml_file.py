"""Reads YAML files of users strictly: nothing is silently lost, converted to another value or repeated without limit.

It accepts only plain data: mappings with texts as keys, lists, texts, numbers, true, false and null. Dates are texts.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml

DEEPEST = 50  # largest depth of nested mappings and lists
REPEATED = 100_000  # largest number of characters and values that aliases may add
_TAG = "tag:yaml.org,2002:"


class YamlError(ValueError):
    """A file or text that is not valid YAML, repeats a key, or exceeds a limit."""


def read_yaml(path: str | Path, kind: str) -> Any:
    """Return the content of a YAML file.

    Args:
        path: path of the file.
        kind: description of the file, for errors.

    Raises:
        YamlError: the file does not exist or cannot be read, or `parse_yaml` refuses it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise YamlError(f"{kind} {path} is a directory; name a .yaml file in it")
        if path.exists() and not path.is_file():  # such as a pipe, which can be read only once
            raise YamlError(f"{kind} {path} is no regular file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise YamlError(f"{kind} {path} does not exist") from None
    except OSError as error:
        raise YamlError(f"{kind} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise YamlError(f"{kind} {path} is not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        return parse_yaml(text)
    except YamlError as error:
        raise YamlError(f"{kind} {path} is not valid YAML: {error}") from None


def parse_yaml(text: str) -> Any:
    """Return the content of a YAML text.

    Raises:
        YamlError: the text is not valid YAML, repeats a key, is nested too deeply or in itself, repeats too much by
            aliases, or has an integer beyond 64 bits or anything but plain data.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark or error.context_mark, error.problem or error.context
        raise YamlError(f"line {mark.line + 1}: {problem}" if mark else str(problem)) from None
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from None


class _StrictLoader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.repeated = 0
        self.sizes: dict[yaml.Node, int] = {}  # in characters and values, with aliases written out
        self.levels: dict[yaml.Node, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        start, is_alias = self.peek_event().start_mark, self.check_event(yaml.AliasEvent)
        self.depth += 1
        _require(self.depth <= DEEPEST, start, f"nested deeper than {DEEPEST} levels")
        node: Any = super().compose_node(parent, index)
        if is_alias:
            _require(node in self.sizes, start, "an alias within what it stands for, which would never end")
            self.repeated += self.sizes[node]
            _require(self.repeated <= REPEATED, start, f"aliases repeat more than {REPEATED:,} characters")
        else:
            children = _children(node)
            own = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
            self.sizes[node] = 1 + own + sum(self.sizes[child] for child in children)
            self.levels[node] = 1 + max((self.levels[child] for child in children), default=0)
        _require(self.depth - 1 + self.levels[node] <= DEEPEST, start, f"nested deeper than {DEEPEST} levels")
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            is_text = key.tag in (_TAG + "str", _TAG + "merge")
            shown = f"the key {key.value}" if isinstance(key, yaml.ScalarNode) else "a list or mapping as key"
            _require(is_text, key.start_mark, f"{shown} is no text; put it in quotes")
            first = lines.get(key.value)
            _require(first is None, key.start_mark, f"`{key.value}` stands here and in line {first} already")
            lines[key.value] = key.start_mark.line + 1
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        node = super().compose_scalar_node(anchor)
        is_character = all(not "\ud800" <= character <= "\udfff" for character in node.value)
        _require(is_character, node.start_mark, "half of a pair of UTF-16, which is no character")
        if node.style is None and "inf" not in node.value.lower():
            _require(not _is_infinite(node.value), node.start_mark, "a number that is too large")
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:  # of a tag such as !!int before a word
            raise yaml.MarkedYAMLError(problem=f"no value of its kind: {error}", problem_mark=node.start_mark) from None
        _require(not isinstance(value, int) or value.bit_length() <= 64, node.start_mark, "a number that is too large")
        return value


# Without dates, sets and binary data, which the command line and JSON do not support either.
_StrictLoader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in ("null", "bool", "int", "float", "str", "seq", "map")
}
_StrictLoader.yaml_implicit_resolvers = {
    character: [(tag, pattern) for tag, pattern in resolvers if tag != _TAG + "timestamp"]
    for character, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _is_infinite(text: str) -> bool:
    try:
        return math.isinf(float(text))
    except ValueError:
        return False


def _require(condition: bool, mark: Any, problem: str) -> None:
    if not condition:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
