"""What the guides show works as they say."""

import re
from pathlib import Path

import pytest


@pytest.mark.parametrize("guide", ["stab"])
def test_the_python_of_a_guide_runs(guide):
    blocks = re.findall(r"```python\n(.*?)```", Path(f"docs/{guide}.md").read_text(), re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})


def test_the_parts_of_stab_are_in_its_guide():
    from components.encoders import STAB

    text = Path("docs/stab.md").read_text()
    named = set(re.findall(r"\(`(\w+)`\)", text))
    slots = {name for name, part in STAB(width=8).named_children() if sum(p.numel() for p in part.parameters())}
    assert slots <= named
