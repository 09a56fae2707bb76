"""The page of a comparison: complete in itself, well formed, and about the runs that were given."""

import re
import shutil
from html.parser import HTMLParser

import pytest

from ablation.comparing.curves import POINTS, curve, read_curve
from ablation.comparing.experiment import experiments
from ablation.comparing.plots import scale
from ablation.comparing.run import find_runs
from lightning_modules.cli import main
from tests.ablation.comparing.run_folders import config, rows, write_run

VOID = {"meta", "br", "line", "circle", "polygon", "polyline"}


class Reader(HTMLParser):
    """Checks that what is opened is closed, and keeps what it meets."""

    def __init__(self, page):
        super().__init__()
        self.open, self.marks, self.words = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.marks.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.marks if name == tag]


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    for seed in (0, 1):
        falling = [(step, 3.0 - 0.01 * step + seed) for step in range(0, 200, 10)]
        write_run(folder, "full", seed, rows([2] * 35 + [1] * 5), settings=config(seed), curve=falling)
        write_run(folder, "worse", seed, rows([1, 0] * 20), settings=config(seed, width=9), curve=falling)
    (folder / "<b>empty" / "seed_0").mkdir(parents=True)
    return folder


@pytest.fixture
def read(runs, tmp_path, capsys):
    main(["compare", str(runs), "--html", str(tmp_path / "page.html"), "--baseline", "full"])
    capsys.readouterr()
    return Reader((tmp_path / "page.html").read_text())


def test_it_needs_nothing_else(read):
    assert not read.of("script") and not read.of("link") and not read.of("img") and not read.of("iframe")
    assert not any(re.search(r"https?:|url\(", str(attributes)) for _, attributes in read.marks)
    assert not re.search(r"https?:|url\(|@import", " ".join(read.words))


def test_it_has_the_difference_the_settings_the_curves_and_what_was_left_out(read):
    words = " ".join(" ".join(read.words).split())
    assert "1 experiment against full" in words and "model.encoder.width: - -> 9" in words
    assert "Left out: 1" in words and "<b>empty" in words and "it is empty" in words
    assert {attributes["aria-label"] for attributes in read.of("svg")} >= {
        "difference of each experiment with its interval",
        "differences in colour",
        "train/loss of worse",
        "val/exact_match/mean of worse",
    }


def test_marks_lie_in_their_plots_and_an_interval_is_around_its_estimate(read):
    for attributes in [*read.of("circle"), *read.of("line"), *read.of("text")]:
        numbers = [
            float(value) for key, value in attributes.items() if key in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy")
        ]
        assert all(0 <= number <= 1040 for number in numbers)
    interval = next(stroke for stroke in read.of("line") if stroke.get("class") == "interval")
    assert float(interval["x1"]) < float(read.of("circle")[0]["cx"]) < float(interval["x2"])


def test_every_one_of_several_seeds_has_its_stroke_and_the_estimate_is_their_mean(runs, tmp_path, capsys):
    def drawn(*folders):
        main(["compare", *map(str, folders), "--html", str(tmp_path / "page.html"), "--baseline", "full"])
        read = Reader((tmp_path / "page.html").read_text())
        strokes = [float(stroke["x1"]) for stroke in read.of("line") if stroke.get("class") == "seed"]
        return strokes, float(read.of("circle")[0]["cx"])

    shutil.rmtree(runs / "worse/seed_1")
    write_run(runs, "worse", 1, rows([1] * 40), settings=config(1, width=9))
    strokes, estimate = drawn(runs)
    assert strokes[0] < strokes[1] and sum(strokes[:2]) / 2 == pytest.approx(estimate, abs=0.02)
    assert len(strokes) == 2 * (1 + 2)  # of all questions, and of two families
    assert drawn(runs / "full/seed_0", runs / "worse/seed_0")[0] == []


def test_a_curve_is_the_mean_over_seeds_between_the_lowest_and_the_highest(runs):
    finished, _ = find_runs([runs / "full"], "fit")
    points = curve(experiments(finished, None)[0], "train/loss")
    assert (points[0].mean, points[0].low, points[0].high) == pytest.approx((3.5, 3.0, 4.0))
    assert points[-1].mean == pytest.approx(3.5 - 1.9)
    assert curve(experiments(finished, None)[0], "no/figure") == []


def test_long_curves_are_drawn_with_few_points_and_none_is_left_out(tmp_path):
    write_run(tmp_path, "full", 0, rows([1]), curve=[(step, float(step)) for step in range(1234)])
    finished, _ = find_runs([tmp_path], "fit")
    points = curve(experiments(finished, None)[0], "train/loss")
    assert 50 < len(points) <= POINTS
    stretch = points[1].step - points[0].step
    assert points[0].mean == points[0].step == pytest.approx((stretch - 1) / 2) and points[-1].step > 1220


def test_a_run_that_went_on_has_one_curve(tmp_path):
    folder = write_run(tmp_path, "full", 0, rows([1]), curve=[(2, 0.2), (3, 0.3)])
    (folder / "metrics.1.csv").write_text("step,train/loss\n0,9\n1,0.1\n2,8\nbroken,1\n4,nan\n")
    assert read_curve(folder, "train/loss") == {0: 9.0, 1: 0.1, 2: 0.2, 3: 0.3}


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.0], [5.0, 5.0], [-1e-9, 1e-9], [0.021, 0.0211], [1e9, 3e9]])
def test_a_scale_has_round_ticks_and_a_place_for_every_value(values):
    axis = scale(values, 10, 110)
    assert axis.low < min(values) and max(values) < axis.high
    assert 2 <= len(axis.ticks) <= 7 and all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert axis(axis.low) == 10 and axis(axis.high) == 110
