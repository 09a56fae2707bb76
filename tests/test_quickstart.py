"""The notebook of the guides runs from a checkout, and shows what it says when it is read on the web."""

import base64
import os
import re
import shutil

import pytest

from tests.guides import REPOSITORY

nbformat = pytest.importorskip("nbformat")
NOTEBOOK = REPOSITORY / "docs" / "quickstart.ipynb"
SETTINGS = "CLIPS = 16\nQUESTIONS = 2"
A_PATH = re.compile(r"/(?:home|root|tmp|usr|work|Users)/|site-packages")
LSTE = "1,431,890"  # parameters at the paper's size


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell):
    """Return what a cell has printed, and the text of its value."""
    data = [{"text/plain": output.get("text", ""), **output.get("data", {})} for output in cell.outputs]
    return "".join(output.get("text/markdown", output["text/plain"]) for output in data)


def pictures(cell):
    found = [output.get("data", {}).get("image/png", "") for output in cell.outputs]
    return [base64.b64decode(picture) for picture in found if picture]


def check(notebook, clips):
    """Check what a reader is there for: two trainings, answers, the part taken out, a comparison and a view."""
    said = {cell.source: texts(cell) for cell in code_cells(notebook)}
    shown = "\n".join(said.values())
    assert f"data.train_clips: 6000 -> {clips}" in shown
    for name in ("full", "no_lste"):
        assert f"run folder   runs/quickstart/{name}/seed_0" in shown
    (chaplin,) = [text for source, text in said.items() if "chaplin.mp4" in source]
    assert re.fullmatch(r"'[a-z ]+'", chaplin)
    (answers,) = [text for source, text in said.items() if "mark = " in source]
    assert answers.count("right") + answers.count("wrong") >= 9 and "What is the number of dots?" in answers
    (counts,) = [text for source, text in said.items() if "without LSTE" in source]
    assert re.search(rf"local_encoding +LSTE +{LSTE} +0\n", counts)
    (table,) = [text for source, text in said.items() if "compare" in source]
    assert re.search(r"\| no_lste .*\(one seed\)", table) and "| blink " in table
    assert "model.encoder.local_encoding: LSTE -> NoLocalEncoding" in table
    assert [len(pictures(cell)) for cell in code_cells(notebook) if pictures(cell)] == [1, 1]
    assert all(picture.startswith(b"\x89PNG") for cell in code_cells(notebook) for picture in pictures(cell))


def test_the_notebook_is_kept_with_its_outputs_and_without_traces_of_a_machine():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    clips = int(re.search(r"CLIPS = ([\d_]+)", code_cells(notebook)[0].source)[1])
    check(notebook, clips)
    assert not [output for cell in code_cells(notebook) for output in cell.outputs if output.output_type == "error"]
    assert not A_PATH.search("\n".join(map(texts, code_cells(notebook))))
    assert all(len(picture) < 200_000 for cell in code_cells(notebook) for picture in pictures(cell))
    assert NOTEBOOK.stat().st_size < 300_000


def test_links_of_the_notebook_lead_somewhere():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    targets = re.findall(r"\]\((?!http)([^)#\s]+)", "".join(cell.source for cell in notebook.cells))
    assert len(targets) >= 6 and all((NOTEBOOK.parent / target).exists() for target in targets)


@pytest.mark.long
def test_the_notebook_runs_in_a_checkout(tmp_path, monkeypatch):
    client = pytest.importorskip("nbclient")
    for name in ("configs", "experiments", "tests"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "docs").mkdir()
    shutil.copy(NOTEBOOK, tmp_path / "docs")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    assert os.environ["OMP_NUM_THREADS"]  # two threads for each of the trainings take many times as long
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    assert code_cells(notebook)[0].source.startswith("CLIPS = ")
    code_cells(notebook)[0].source = SETTINGS
    where = {"metadata": {"path": str(tmp_path / "docs")}}
    client.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
    check(notebook, 16)
