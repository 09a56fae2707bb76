"""Questions per second of a test, in batches against one at a time: python benchmarks/batched_answers.py.

The loader's order, splicing and greedy generation of a test, with random weights and generated clips; both ways
alternate, so that other load on the machine hits them alike. Answers must be the same.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from lightning import Trainer

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a file, Python would look for packages beside it only

from lightning_modules.resolve import resolve_at_paper_scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=16, help="questions at a time")
    parser.add_argument("--questions", type=int, default=8, help="of each of eight families")
    parser.add_argument("--repeats", type=int, default=3, help="timed tests of each")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    parser.add_argument("settings", nargs="*", help="flags of fit, such as --model.encoder.width=256")
    arguments, settings = parser.parse_known_args()
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        resolved = resolve_at_paper_scale(
            ["experiments/full.yaml", "configs/scale/toy.yaml"],
            [f"--data.root={folder}", "--data.train_clips=1", "--data.val_questions_per_family=1",
             f"--data.test_questions_per_family={arguments.questions}", *settings],
        )  # fmt: skip
        model = resolved.model()
        trainer = Trainer(
            accelerator=arguments.device if arguments.device == "cpu" else "gpu", devices=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        speeds: dict[int, list[float]] = {1: [], arguments.batch_size: []}
        answers: dict[int, dict[str, str]] = {}
        data = resolved.data_module()
        for _ in range(arguments.repeats + 1):  # the first fills caches
            for size, times in speeds.items():
                data.eval_batch_size = size
                start = time.perf_counter()
                trainer.predict(model, datamodule=data, return_predictions=False)
                times.append(len(data.records("test")) / (time.perf_counter() - start))
                answers[size] = {answer.sample.id: answer.prediction for answer in model.answers}
    single, batched = answers[1], answers[arguments.batch_size]
    same = sum(single[key] == batched[key] for key in single) / len(single)
    results = {f"batch {size}": median(times[1:]) for size, times in speeds.items()}
    results |= {"ratio": median(speeds[arguments.batch_size][1:]) / median(speeds[1][1:]), "same answers": same}
    print("questions per second:", "  ".join(f"{name} {value:.4g}" for name, value in results.items()))
    if arguments.out:
        facts = {"device": arguments.device, "torch": torch.__version__, "questions": len(single)}
        arguments.out.write_text(json.dumps(facts | results, indent=2))


if __name__ == "__main__":
    main()
