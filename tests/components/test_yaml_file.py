"""YAML is read strictly: what PyYAML loses, repeats without end or takes for another value is an error."""

import os

import pytest

from components.yaml_file import DEEPEST, YamlError, parse_yaml, read_yaml

TEN = ", ".join(["*{}"] * 10)
BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{b}: &{b} [{TEN.replace('{}', a)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
)
TEXT_BOMB = f"a: &a {'x' * 20_000}\nb: [{TEN.replace('{}', 'a')}]\n"
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [[[[[*a{n}]]]]]\n" for n in range(20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r"line 3: `a` stands here and in line 1 already"),
        ("x:\n  a: {b: 1}\n  'a': 2", r"line 3: `a` stands here and in line 2 already"),
        ("- - a: {b: 1, c: 2, b: 3}", r"line 1: `b` stands here and in line 1 already"),
        ("<<: {a: 1}\n<<: {b: 1}", r"line 2: `<<` stands here and in line 1 already"),
        ("yes: 1\ntrue: 2", r"line 1: the key yes is no text; put it in quotes"),
        ("a: 1\n2: 3", r"line 2: the key 2 is no text"),
        ("? [a]\n: b", r"line 1: a list or mapping as key is no text"),
        ("a: &a {b: *a}", r"line 1: an alias within what it stands for"),
        ("&a [*a]", r"line 1: an alias within what it stands for"),
        (BOMB, r"line \d: aliases repeat more than"),
        (TEXT_BOMB, r"line 2: aliases repeat more than"),
        (CHAIN, r"line \d+: nested deeper than"),
        ("a: " + "[" * 100_000, r"line 1: nested deeper than"),
        ("a: " + "{a: " * 1000 + "}" * 1000, r"line 1: nested deeper than"),
        ("a: 1\nb: " + "9" * 5000, r"line 2: a number that is too large"),
        ("a: 0x" + "f" * 5000, r"line 1: a number that is too large"),
        ("a: " + "9:" * 3000 + "9", r"line 1: a number that is too large"),
        ("a: -1e999", r"line 1: a number that is too large"),
        ("a: !!int abc", r"line 1: no value of its kind"),
        ("a: !!bool abc", r"line 1: no value of its kind"),
        ("a: !!timestamp 2024-13-45", r"line 1: could not determine a constructor"),
        ("a: !!binary aGVsbG8=", r"line 1: could not determine a constructor"),
        ("a: !!set {x}", r"line 1: could not determine a constructor"),
        ("!!python/object:os.system {}", r"line 1: could not determine a constructor"),
        ('a: "\\uD800"', r"line 1: half of a pair of UTF-16"),
        ("a: \x07", r"unacceptable character #x0007"),
        ("a: 1\n---\nb: 2", r"line 2: but found another document"),
        ("a: [1", r"line 1: expected"),
        ("a: *x", r"line 1: found undefined alias"),
    ],
)  # fmt: skip
def test_what_would_be_lost_endless_or_another_value_is_refused(text, message):
    with pytest.raises(YamlError, match=message) as caught:
        parse_yaml(text)
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


def test_plain_data_is_read_as_it_stands():
    assert parse_yaml("a: 2024-13-45\nb: 2024-01-05\nc: [1, .inf, 0.5, null, yes, '1']") == {
        "a": "2024-13-45",
        "b": "2024-01-05",
        "c": [1, float("inf"), 0.5, None, True, "1"],
    }
    assert parse_yaml("x: &x {a: 1}\ny: {<<: *x, a: 2}\nz: {<<: [*x, *x], b: 1}\nw: [*x, *x]") == {
        "x": {"a": 1}, "y": {"a": 2}, "z": {"a": 1, "b": 1}, "w": [{"a": 1}, {"a": 1}],
    }  # fmt: skip
    deepest = DEEPEST - 1
    assert parse_yaml("[" * deepest + "x" + "]" * deepest)
    assert parse_yaml("") is None


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, message in {
        "latin.yaml": "latin.yaml is not UTF-8",
        "loop.yaml": "loop.yaml cannot be read: ",
        "pipe.yaml": "pipe.yaml is no regular file",
        "no.yaml": "no.yaml does not exist",
        ".": "is a directory",
        "a" * 5000: "cannot be read: File name too long",
    }.items():
        with pytest.raises(YamlError, match=message):
            read_yaml(tmp_path / name, "config file")
