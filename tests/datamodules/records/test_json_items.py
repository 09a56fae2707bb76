"""Files are read piece by piece: what is read, and what is said of errors, does not depend on where a piece ends."""

import json

import pytest

from datamodules.records import RecordError
from datamodules.records.json_items import JsonItems

ITEMS = [{"a": [1, 22, -3.5e2, True, None, 'x\n"}],']}, 123, "é 球 🎈 \\", [], {}, "", [[{"b": {}}], "\u2028"], 0]
CHUNKS = [1, 2, 3, 7, 64, 1 << 20]


def read(path, chunk):
    return list(JsonItems(path, chunk))


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_is_what_json_says(write, chunk, ascii_only, indent):
    text = json.dumps(ITEMS, ensure_ascii=ascii_only, indent=indent)
    for content in (text, f"\ufeff \r\n{text}\n\t "):
        assert read(write("a.json", content), chunk) == list(enumerate(ITEMS))
    assert read(write("a.json", " [ ] "), chunk) == []


@pytest.mark.parametrize("chunk", CHUNKS)
def test_lines_are_what_json_says_with_the_number_of_each(write, chunk):
    lines = [json.dumps(item, ensure_ascii=False) for item in ITEMS]
    numbered = [(2 * number + 1, item) for number, item in enumerate(ITEMS)]
    assert read(write("a.jsonl", "\n \n".join(lines)), chunk) == numbered
    assert read(write("a.jsonl", "\ufeff" + "\r\n\r\n".join(lines) + "\r\n"), chunk) == numbered
    assert read(write("a.jsonl", ""), chunk) == []


BAD = {
    "a.json": {
        '[{"a": 1},\n  {"b": }]': "line 2, column 9: not valid JSON: Expecting value",
        '[{"a": 1}\n  {"b": 2}]': "line 2, column 3: not valid JSON: Expecting ',' delimiter",
        '[{"a": 1},\n]': "line 2, column 1: not valid JSON: Expecting value",
        '[{"a": 1},\n': "line 2, column 1: not valid JSON: Expecting value",
        '[{"a": 1}\n': "line 2, column 1: not valid JSON: Expecting ',' delimiter",
        '[{"a": "\nx"}]': "line 1, column 9: not valid JSON: Invalid control character",
        '[{"a": "x': "line 1, column 8: not valid JSON: Unterminated string",
        "[1]\n]": "line 2, column 1: not valid JSON: Extra data",
        "[1] [2]": "line 1, column 5: not valid JSON: Extra data",
        "": "line 1, column 1: not valid JSON",
        "{}": "holds an object; it must be a list",
        '{"a": 1}\n{"a": 2}': r"one record per line must be named \.jsonl",
        "123": "holds the value 123",
        '\n["\\ud83d"]': "from line 2: half a surrogate pair",
        '[1,\n{"a": [{"b": 1, "c": 2, "b": 1}]}]': "from line 2: the key 'b' stands twice in one object",
    },
    "a.jsonl": {
        '{"a": 1}\n\n{"a": }': "line 3, column 7: not valid JSON",
        '{"a": 1} {"a": 2}': "line 1, column 10: not valid JSON: Extra data",
        '1\n[\n': "line 2, column 2: not valid JSON",
        '1\n"\\uDc00"': "from line 2: half a surrogate pair",
        '{"a": 1}\n{"a": 1, "a": 2}': "from line 2: the key 'a' stands twice in one object",
    },
}  # fmt: skip


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("name", "content"), [(name, content) for name, texts in BAD.items() for content in texts])
def test_errors_have_their_place(write, chunk, name, content):
    with pytest.raises(RecordError, match=BAD[name][content]) as caught:
        read(write(name, content), chunk)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_a_byte_that_is_not_utf8_has_its_position(write, chunk):
    content = '["é球", "'.encode()
    with pytest.raises(RecordError, match=f"not UTF-8 at byte {len(content)};"):
        read(write("a.json", content + b"\xff"), chunk)
    with pytest.raises(RecordError, match=f"not UTF-8 at byte {len(content)};"):
        read(write("a.json", content + "球".encode()[:2]), chunk)  # cut off amid a character


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_the_first_item_comes_before_the_last_is_read(write, name):
    text = "{}\n" * 100 if name == "a.jsonl" else "[" + "{},\n" * 100
    items = iter(JsonItems(write(name, text.encode() + b"\xff"), chunk=16))
    assert next(items)[1] == {}
    with pytest.raises(RecordError, match=f"not UTF-8 at byte {len(text)}"):
        list(items)


def test_a_pair_of_surrogates_is_a_character(write):
    assert read(write("a.json", '["\\ud83c\\udf88"]'), 3) == [(0, "🎈")]
