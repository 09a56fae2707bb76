"""Draws docs/architecture.svg from the imports of the packages: `python -m tests.architecture_picture`.

A floor is a package and a room a package in it. A room stands to the left of the rooms that it imports. Imports that
follow from others (a room imports one that imports a third) are not drawn, and neither are those that go down to
another floor, which are always allowed.
"""

import ast
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).parents[1]
PICTURE = REPOSITORY / "docs" / "architecture.svg"
FLOORS = {
    "video_panda": "a trained model in Python: load it, ask it",
    "ablation": "many runs: chains of stages",
    "lightning_modules": "one run: the LightningModule, the command line",
    "datamodules": "what is learnt from and asked: data modules, batches",
    "components": "what a model is made of, in pure torch: projectors, splicing",
}
# The way of a question, from its file to a table: where each step happens.
STEPS = (
    ("datamodules.records", "a question is read from its file"),
    ("datamodules.video", "frames of its clip are decoded and fitted to a canvas"),
    ("datamodules", "samples are put into a batch"),
    ("lightning_modules.training", "every token gets its place, on the host"),
    ("components.encoders", "frames become visual tokens"),
    ("components.language_models", "text and visual tokens become an answer"),
    ("lightning_modules.scoring", "the answer is compared with the reference"),
    ("lightning_modules.callbacks", "answers and scores go to the run's folder"),
    ("ablation.judging", "stored answers are judged"),
    ("ablation.comparing", "runs are compared, with verdicts"),
)
MARGIN, COLUMN, ROOM, ROW, HALL = 20, 224, (192, 34), 50, 30


def room_of(module: str) -> str:
    """Return the room that a module is in: a package in one of the five, or that one itself, for its own files."""
    parts = module.split(".")
    room = ".".join(parts[:2])
    return room if (REPOSITORY / Path(*parts[:2])).is_dir() else parts[0]


@cache
def module_imports() -> dict[str, set[str]]:
    """Return module -> modules of the packages that it imports, in functions too; a package is its `__init__`."""
    files = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
        for floor in FLOORS
        for path in (REPOSITORY / floor).rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        names = [name for imported in _imported(path) for name in (imported, imported.rpartition(".")[0])]
        graph[module] = {name for name in names if name in files} - {module}
    return graph


@cache
def imports() -> frozenset[tuple[str, str]]:
    """Return (importing room, imported room) of all imports between rooms of the packages."""
    return frozenset(
        (room_of(module), room_of(imported))
        for module, names in module_imports().items()
        for imported in names
        if room_of(module) != room_of(imported)
    )


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def rooms(floor: str) -> list[str]:
    """Return the rooms of a floor, without its own files."""
    return sorted(f"{floor}.{path.parent.name}" for path in (REPOSITORY / floor).glob("*/__init__.py"))


def reachable(start: str, arrows: set[tuple[str, str]]) -> set[str]:
    """Return where arrows lead to from a room."""
    reached, waiting = set(), [start]
    while waiting:
        new = {end for begin, end in arrows if begin == waiting[-1]} - reached
        waiting.pop()
        reached |= new
        waiting += new
    return reached


def arrows_between_rooms(floor: str) -> set[tuple[str, str]]:
    """Return the imports between the rooms of a floor, without those that follow from others."""
    drawn = {(begin, end) for begin, end in imports() if {begin, end} <= set(rooms(floor))}
    for arrow in sorted(drawn):
        if arrow[1] in reachable(arrow[0], drawn - {arrow}):
            drawn.remove(arrow)
    return drawn


def columns(floor: str, arrows: set[tuple[str, str]]) -> list[list[str]]:
    """Return the rooms of a floor from the left: a room is to the left of whatever it imports, and close to it."""
    column = dict.fromkeys(rooms(floor), 0)
    for _ in column:
        for begin, end in arrows:
            column[end] = max(column[end], column[begin] + 1)
    assert all(column[begin] < column[end] for begin, end in arrows), f"rooms of {floor} import each other in a circle"
    for room in sorted(column, key=lambda room: -column[room]):
        column[room] = min((column[end] - 1 for begin, end in arrows if begin == room), default=column[room])
    return [
        [room for room in column if column[room] == number] for number in range(max(column.values(), default=-1) + 1)
    ]


def _number(number: int, x: float, y: float) -> str:
    return f'<circle class="step" cx="{x}" cy="{y}" r="10"/><text class="number" x="{x}" y="{y + 4}">{number}</text>'


def badge(room: str, x: float, y: float) -> str:
    """Return the number of the step that happens in a room, if one does."""
    return "".join(_number(number, x, y) for number, (where, _) in enumerate(STEPS, start=1) if where == room)


def draw() -> str:
    """Return the picture."""
    parts: list[str] = []
    width = 2 * MARGIN + 16 + COLUMN * max(len(columns(floor, arrows_between_rooms(floor))) for floor in FLOORS)
    top: float = MARGIN
    bottoms: dict[str, float] = {}
    for floor, purpose in FLOORS.items():
        arrows = arrows_between_rooms(floor)
        placed = columns(floor, arrows)
        rows = max(map(len, placed), default=0)
        height = HALL + ROW * rows + 12
        place = {
            room: (MARGIN + 24 + COLUMN * column, top + HALL + 8 + ROW * (row + (rows - len(names)) / 2))
            for column, names in enumerate(placed)
            for row, room in enumerate(names)
        }
        parts.append(
            f'<rect class="floor" x="{MARGIN}" y="{top}" width="{width - 2 * MARGIN}" height="{height}"/>'
            f'<text class="name" x="{MARGIN + 14}" y="{top + 22}">{floor}/</text>'
            f'<text x="{MARGIN + 226}" y="{top + 22}">{escape(purpose)}</text>' + badge(floor, MARGIN + 206, top + 17)
        )
        for begin, end in sorted(arrows):
            (x, y), (other_x, other_y) = place[begin], place[end]
            x, y, other_y = x + ROOM[0], y + ROOM[1] / 2, other_y + ROOM[1] / 2
            middle = (x + other_x) / 2
            parts.append(
                f'<path class="arrow" data-from="{begin}" data-to="{end}" marker-end="url(#head)" '
                f'd="M{x} {y} C{middle} {y} {middle} {other_y} {other_x - 3} {other_y}"/>'
            )
        for room, (x, y) in place.items():
            name = room.partition(".")[2]
            parts.append(
                f'<rect class="room" x="{x}" y="{y}" width="{ROOM[0]}" height="{ROOM[1]}"/>'
                f'<text class="room-name" x="{x + ROOM[0] / 2}" y="{y + ROOM[1] / 2 + 5}">{name}/</text>'
                + badge(room, x, y)
            )
        bottoms[floor] = top + height
        top += height + 34
    floors = {(begin.partition(".")[0], end.partition(".")[0]) for begin, end in imports()}
    for upper, lower in (pair for pair in pairwise(FLOORS) if pair in floors):
        x, y = width / 2, bottoms[upper]
        parts.append(
            f'<path class="arrow floors" data-from="{upper}" data-to="{lower}" marker-end="url(#head)" '
            f'd="M{x} {y} L{x} {y + 31}"/><text x="{x + 14}" y="{y + 22}">imports</text>'
        )
    half = -(-len(STEPS) // 2)
    for number, (_, words) in enumerate(STEPS):
        x, y = MARGIN + 12 + (number // half) * 560, top + 4 + (number % half) * 26
        parts.append(f'{_number(number + 1, x, y)}<text x="{x + 20}" y="{y + 5}">{escape(words)}</text>')
    height = top + half * 26
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        "<style>text{font:15px sans-serif;fill:#222}.name{font:bold 16px monospace}.room-name{font:15px monospace;"
        "text-anchor:middle}.floor{fill:#f3f5f8;stroke:#8a94a3}.room{fill:#fff;stroke:#3c5a80;rx:5}"
        ".arrow{fill:none;stroke:#3c5a80;stroke-width:1.6}.floors{stroke-width:3}.step{fill:#b3402a}"
        ".number{font:bold 12px sans-serif;fill:#fff;text-anchor:middle}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#3c5a80"/></marker></defs>\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
