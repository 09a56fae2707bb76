"""docs/architecture.md and its picture say what the code does."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.architecture_picture import FLOORS, PICTURE, STEPS, draw, imports, module_imports, reachable, rooms

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
ARROWS = {
    (path.get("data-from"), path.get("data-to"))
    for path in ElementTree.parse(PICTURE).iter("{http://www.w3.org/2000/svg}path")
    if path.get("data-from")
}
ORDER = list(FLOORS)


def floor(room):
    return room.split(".")[0]


def test_no_import_goes_up():
    upward = [arrow for arrow in imports() if ORDER.index(floor(arrow[0])) > ORDER.index(floor(arrow[1]))]
    assert not upward


def test_no_file_imports_another_in_a_circle():
    tuple(TopologicalSorter(module_imports()).static_order())  # raises CycleError, which names one


def test_every_arrow_of_the_picture_is_an_import():
    between_floors = {(floor(begin), floor(end)) for begin, end in imports()}
    assert imports() | between_floors >= ARROWS


@pytest.mark.parametrize("package", FLOORS)
def test_every_import_between_rooms_follows_the_arrows(package):
    missing = [
        f"{begin} -> {end}"
        for begin, end in sorted(imports())
        if {begin, end} <= set(rooms(package)) and end not in reachable(begin, ARROWS)
    ]
    assert not missing, f"{missing}: draw the picture anew by python -m tests.architecture_picture"


def test_the_picture_is_the_one_that_would_be_drawn():
    assert PICTURE.read_text() == draw(), "draw it anew by python -m tests.architecture_picture"


def test_every_room_lies_within_its_floor():
    boxes = ElementTree.parse(PICTURE).iter("{http://www.w3.org/2000/svg}rect")
    right = {kind: [] for kind in ("floor", "room")}
    for box in boxes:
        right.get(box.get("class"), []).append(float(box.get("x", 0)) + float(box.get("width")))
    assert max(right["room"]) < min(right["floor"])


def test_the_page_has_every_room_and_no_other():
    listed = re.findall(r"^\| `(\w+/\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(room.replace(".", "/") for package in FLOORS for room in rooms(package))
    assert {room for room, _ in STEPS} <= {*FLOORS, *(room.replace("/", ".") for room in listed)}


def test_every_path_of_the_page_exists():
    named = re.findall(r"`([\w./]+)`", PAGE) + re.findall(r"\]\((?!http)([^)#]+)", PAGE)
    paths = [REPOSITORY / name for name in named if "/" in name] + [
        REPOSITORY / "docs" / name for name in named if name.endswith((".md", ".svg"))
    ]
    assert paths and not [str(path) for path in paths if not path.exists()]


def test_every_function_of_the_walks_exists():
    defined = {"ablation", "null"}
    for package in FLOORS:
        for path in (REPOSITORY / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    defined |= {node.name, *(f"{node.name}.{below.name}" for below in node.body
                                             if isinstance(below, ast.FunctionDef))}  # fmt: skip
                elif isinstance(node, ast.FunctionDef):
                    defined.add(node.name)
    walks = PAGE.partition("## A frame")[2].partition("## Where to look")[0]
    words = {"base:", "--config", "at_scale"}
    named = {name for name in re.findall(r"`([^`]+)`", walks) if re.fullmatch(r"[\w.:-]+", name)} - words
    assert len(named) > 30 and not named - defined
