"""What the system refuses is one line, and what others have written steers neither the terminal nor a page."""

import errno
import html
import os
from importlib import import_module

import pytest
from tensorboard.plugin_util import markdown_to_safe_html

from datamodules.printable import printable
from lightning_modules.config.user_errors import user_errors
from lightning_modules.programs import PROGRAMS
from lightning_modules.runs.logger_families import table_row

NAMED = (
    "EACCES",
    "EPERM",
    "EROFS",
    "ENAMETOOLONG",
    "ENOTDIR",
    "ELOOP",
    "EMFILE",
    "ENOENT",
    "EISDIR",
    "EEXIST",
    "ENOSPC",
)


@pytest.mark.parametrize("number", [getattr(errno, name) for name in NAMED])
def test_an_error_about_a_file_is_one_line_that_names_it(number, capsys):
    with pytest.raises(SystemExit, match="1"), user_errors():
        raise OSError(number, os.strerror(number), "runs/\x1b[31mfull\u202e\udcff")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and r"runs/\x1b[31mfull\u202e\udcff" in line
    reason = "No space left on the device" if number == errno.ENOSPC else os.strerror(number)
    assert reason.lower() in line.lower()


def test_an_error_about_no_file_is_a_line_if_it_is_the_machine_and_else_keeps_its_traceback(capsys):
    with pytest.raises(SystemExit), user_errors():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    assert capsys.readouterr().err == "error: too many open files\n"
    for bug in (OSError("cannot load it"), OSError(errno.EBADF, "bad file descriptor"), ValueError("of a library")):
        with pytest.raises(type(bug)), user_errors():
            raise bug


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_says_so(program, fails, monkeypatch):
    def refused(_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "runs/full")

    module, function = PROGRAMS[program]
    monkeypatch.setattr(import_module(module), function, refused)
    assert fails(program) == (1, "error: runs/full: Permission denied\n")


def test_a_name_that_is_too_long_is_said(fails):
    status, error = fails("show", "x" * 300)
    assert status == 1 and error.endswith("File name too long\n")


def test_what_steers_a_terminal_is_shown_and_all_other_text_stays():
    steering = [*map(chr, (*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066, 0x2028, 0xD800, 0xDCFF))]
    assert all(printable(character).isascii() and printable(character).isprintable() for character in steering)
    text = "ein\tTab\nKäse 한 कि 👨\u200d👩 می\u200cم"
    assert printable(text) == text and printable("a\x1b[31mb") == r"a\x1b[31mb"


def test_a_table_of_answers_shows_every_text_in_its_own_cell():
    texts = ["a|b", "line 1\n\nline 2 | x", "`c | d", "e` \\\\| *f* _g_ <b>h</b>", "[i](http://j) &amp; \x1b[0m"]
    table = "\n".join(["| q | r | s | t | u |", "| --- | --- | --- | --- | --- |", table_row(*texts)])
    page = markdown_to_safe_html(table)
    cells = [cell.partition("</td>")[0] for cell in page.split("<td>")[1:]]
    assert "<" not in "".join(cells) and page.count("<tr>") == 2
    assert [html.unescape(cell) for cell in cells] == [printable(" ".join(text.split())) for text in texts]
