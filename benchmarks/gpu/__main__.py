"""Runs all scripts one after the other, and writes one table of their results: make gpu."""

import json
import subprocess
import sys

import torch

from benchmarks.gpu.measuring import REHEARSAL, RESULTS, shown
from datamodules.printable import table

# Seconds after which a script begins no further case, and is ended 33 seconds later: less than 8 minutes for all.
SECONDS = {"checks": 60, "latency": 80, "products": 10, "memory": 60, "throughput": 40, "precisions": 25}


def main() -> None:
    rehearsal = "--rehearsal" in sys.argv or not torch.cuda.is_available()
    folder, prefix = (REHEARSAL, "rehearsal") if rehearsal else (RESULTS, "gpu")
    failed, rows, device = [], [], ""
    for name, seconds in SECONDS.items():
        file = folder / f"{prefix}_{name}.json"
        file.unlink(missing_ok=True)
        command = [sys.executable, "-m", f"benchmarks.gpu.{name}", f"--seconds={seconds}", *sys.argv[1:]]
        try:
            if subprocess.run(command, check=False, timeout=seconds + 33).returncode:
                failed.append(name)
        except subprocess.TimeoutExpired:
            failed.append(name)
        content = json.loads(file.read_text()) if file.exists() else {"device": device, "rows": [{"case": "no result"}]}
        device = content["device"]
        for row in content["rows"]:
            facts = "; ".join(f"{key} {shown(value)}" for key, value in row.items() if key != "case" and value != "")
            rows.append([name, row["case"], facts.replace("|", "/")])
    report = f"Measured on: {device}, torch {torch.__version__}\n\n{table(['script', 'case', 'result'], rows)}\n"
    (folder / f"{prefix}.md").write_text(report)
    print(f"\n{report}\nwritten to {folder}")
    if failed:
        raise SystemExit(f"these scripts failed or had no time: {', '.join(failed)}")


if __name__ == "__main__":
    main()
