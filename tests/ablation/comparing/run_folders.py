"""Small run folders, as a training leaves them."""

import json

import yaml

FAMILIES = ("colour", "count")

# Right answers of two to each of forty videos.
GOOD = [2] * 30 + [1] * 10
BAD = [1] * 30 + [0] * 10


def config(seed=0, root="/data", **encoder):
    """A resolved configuration, as far as a comparison looks at it."""
    return {
        "seed_everything": seed,
        "model": {
            "encoder": {"class_path": "components.encoders.STAB", "init_args": {"local_encoding": "LSTE", **encoder}}
        },
        "data": {"class_path": "datamodules.X", "init_args": {"root": root, "canvas": 72}},
        "trainer": {"max_epochs": 2, "devices": 1},
    }


def provenance(scale="toy", **more):
    """What a run says that its answers come from."""
    return {
        "config_files": [f"configs/scale/{scale}.yaml", "experiments/full.yaml"],
        "generation": {"greedy": True, "max_new_tokens": 4},
        "compared": {"FreeAnswer": {"rules": "equal", "sha256": "a" * 64}},
        "data": {"manifest_sha256": "b" * 64, "question_files": {}},
        "device": "cpu",
        **more,
    }


def rows(right, root="/data", families=FAMILIES):
    """Answers: `right` is a list of how many questions about each video are right, of one question per family."""
    return [
        {
            "id": f"{video}/{family}",
            "video": f"{root}/{video}.mp4",
            "family": family,
            "question": f"Which {family}?",
            "reference": "red",
            "prediction": "red",
            "answered": True,
            "right": place < count,
        }
        for video, count in enumerate(right)
        for place, family in enumerate(families)
    ]


def with_likelihoods(answers, of_each):
    """Return answers, each with the log-likelihood of the right one."""
    return [row | {"log_likelihood": float(likelihood)} for row, likelihood in zip(answers, of_each, strict=True)]


def write_run(
    runs, experiment, seed, answers, *, leaf=None, settings=None, known=None, figures=None, curve=((0, 3.0),), likely=()
):
    """Write a finished run, and return its folder; `known` False leaves out what an older run did not write.

    `likely` are step and mean log-likelihood of validations.
    """
    folder = runs / experiment / (leaf or f"seed_{seed}")
    (folder / "answers").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings or config(seed)))
    figures = {"train/minutes": 1.5, "test/loss": 0.5 + 0.01 * seed} if figures is None else figures
    (folder / "answers/test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    if known is not False:
        content = {"scores": {}, "benchmarks": {}, "provenance": provenance() if known is None else known}
        (folder / "answers/test_scores.json").write_text(json.dumps(content))
    names = ["epoch", "step", "train/loss", "val/exact_match/mean", *["val/log_likelihood/mean"] * bool(likely)]
    lines = [",".join(names), *(f"0,{step},{loss}," for step, loss in curve), "1,10,,0.5"]
    lines += [f"1,{step},,,{value}" for step, value in likely]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "summary.json").write_text(json.dumps({"steps": 10, "figures": figures}))  # last, as a training does
    return folder
