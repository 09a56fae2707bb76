"""Runs the tests that only a CUDA device can decide: python -m benchmarks.gpu.checks."""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.gpu.measuring import Place, Row, main

STEP = "tests/lightning_modules/training/test_cuda_step.py"  # all that a rehearsal collects


def measure(place: Place) -> list[Row]:
    """Return a line per test: passed, failed or skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        tests = STEP if place.rehearsal else "tests"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "0", "-m", "gpu", tests, f"--junitxml={report}"], check=False
        )
        cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
        rows = [row(case) for case in cases]
    if done.returncode and not any("error" in row for row in rows):
        rows.append({"case": "pytest", "error": f"ended with status {done.returncode}"})
    return rows


def row(case: ElementTree.Element) -> Row:
    """Return what a test came to."""
    name = f"{case.get('classname', '').rpartition('.')[2]}: {case.get('name')}"
    for kind in ("failure", "error"):
        if (found := case.find(kind)) is not None:
            return {"case": name, "error": found.get("message", "").partition("\n")[0]}
    outcome = "skipped" if case.find("skipped") is not None else "passed"
    return {"case": name, "outcome": outcome, "seconds": float(case.get("time", 0))}


if __name__ == "__main__":
    main("checks", __doc__, measure)
