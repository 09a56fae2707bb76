"""`base:` chains: order, relative paths, and what goes wrong."""

from pathlib import Path

import pytest

from lightning_modules.config.chain import ConfigChainError, config_chain, given_files, with_bases


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    (tmp_path / "experiments").mkdir()
    files = {
        "configs/trainer.yaml": "trainer: {max_epochs: 1}",
        "configs/scale.yaml": "base: trainer.yaml\ntrainer: {max_epochs: 2}",
        "configs/paper.yaml": "base: [trainer.yaml]\ntrainer: {max_epochs: 3}",
        "experiments/full.yaml": "base: ../configs/scale.yaml",
        "experiments/child.yaml": "base: full.yaml",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def names(paths):
    return [Path(str(path).removeprefix("--config=")).name for path in paths]


def test_the_most_basic_file_comes_first(tree):
    assert names(config_chain(tree / "experiments/child.yaml")) == [
        "trainer.yaml", "scale.yaml", "full.yaml", "child.yaml",
    ]  # fmt: skip


@pytest.mark.parametrize("form", [["--config", "{}"], ["--config={}"], ["-c", "{}"]])
def test_bases_stand_before_the_file_and_flags_stay_behind(tree, form):
    words = [word.format(tree / "experiments/full.yaml") for word in form]
    expanded = with_bases(["fit", *words, "--trainer.max_epochs=9"])
    assert expanded[0] == "fit" and expanded[-1] == "--trainer.max_epochs=9"
    assert names(expanded[1:-1]) == ["trainer.yaml", "scale.yaml", "full.yaml"]


def test_a_base_never_overrides_a_named_file_in_either_order(tree):
    paper, child = tree / "configs/paper.yaml", tree / "experiments/child.yaml"
    for first, second in ((paper, child), (child, paper)):
        expanded = names(with_bases(["fit", "--config", str(first), "--config", str(second)])[1:])
        assert expanded[-2:] == [first.name, second.name]
        assert expanded.index("scale.yaml") < expanded.index("paper.yaml")


def test_named_files_are_told_from_bases(tree):
    assert names(given_files(config_chain(tree / "experiments/child.yaml"))) == ["child.yaml"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["child.yaml"], ["trainer.yaml", "small.yaml", "sized.yaml", "{toy}", "child.yaml"]),
        (
            ["child.yaml", "large.yaml", "more.yaml"],
            ["trainer.yaml", "small.yaml", "sized.yaml", "child.yaml", "large.yaml", "{paper}", "more.yaml"],
        ),
        (
            ["large.yaml", "sized.yaml", "more.yaml"],
            ["trainer.yaml", "small.yaml", "large.yaml", "sized.yaml", "{paper}", "more.yaml"],
        ),
    ],
)
def test_what_is_set_at_a_scale_stands_behind_the_scale_and_who_sets_it(tmp_path, given, expected):
    files = {
        "trainer.yaml": "a: 1",
        "scale/small.yaml": "base: ../trainer.yaml",
        "scale/large.yaml": "base: ../trainer.yaml",
        "sized.yaml": "base: scale/small.yaml\nat_scale: {small: {data: {a: c}}, large: {data: {a: b}}}",
        "child.yaml": "base: sized.yaml",
        "more.yaml": "a: 2",
    }
    (tmp_path / "scale").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    paths = {Path(name).name: tmp_path / name for name in files}
    expanded = names(with_bases(["fit", *(f"--config={paths[name]}" for name in given)])[1:])
    texts = {"{toy}": "{data: {a: c}}", "{paper}": "{data: {a: b}}"}
    assert expanded == [texts.get(name, name) for name in expected]


def test_a_loop_is_refused_and_shown(tmp_path):
    (tmp_path / "a.yaml").write_text("base: b.yaml")
    (tmp_path / "b.yaml").write_text("base: a.yaml")
    with pytest.raises(ConfigChainError, match=r"circle: a\.yaml -> b\.yaml -> a\.yaml"):
        config_chain(tmp_path / "a.yaml")


def test_a_missing_base_is_named_with_the_file_that_wants_it(tmp_path):
    (tmp_path / "a.yaml").write_text("base: ../no/such.yaml")
    with pytest.raises(ConfigChainError, match=r"a\.yaml names .*such\.yaml, which does not exist"):
        config_chain(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: 3", "must be a file name or a list"),
        ("base: {a: 1}", "must be a file name or a list"),
        ("- a\n- b", "must be a mapping"),
        ("a: [1", "not valid YAML"),
    ],
)
def test_a_malformed_file_is_named(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigChainError, match=message) as caught:
        config_chain(tmp_path / "a.yaml")
    assert "a.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[paper]", "must be a mapping"),
        ("{small: sizes.yaml}", "must be a mapping"),
        ("{smal: {data: {}}}", "names smal; the scales are .*small"),
    ],
)
def test_malformed_settings_at_a_scale_are_named(tmp_path, text, message):
    (tmp_path / "scale").mkdir()
    (tmp_path / "scale/small.yaml").write_text("a: 1")
    (tmp_path / "a.yaml").write_text(f"base: scale/small.yaml\nat_scale: {text}")
    with pytest.raises(ConfigChainError, match=rf"a\.yaml .*{message}"):
        with_bases(["fit", "--config", str(tmp_path / "a.yaml")])


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("experiments/no_lst.yaml", "experiments/no_lste.yaml"),
        ("no_lste", "experiments/no_lste.yaml"),
        ("configs/scale/papr.yaml", "configs/scale/paper.yaml"),
        ("mine/ablaton.yaml", "mine/ablation.yaml"),
    ],
)
def test_the_nearest_file_is_named_where_there_is_none(tmp_path, monkeypatch, named, meant):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/ablation.yaml").write_text("seed_everything: 1")
    with pytest.raises(ConfigChainError, match=rf"^config file {named} does not exist; did you mean {meant}\?$"):
        config_chain(named)
    for nothing in ("experiments/qqq.yaml", f"{'a' * 5000}/no_lste", f"experiments/{'a' * 5000}"):
        with pytest.raises(ConfigChainError, match="does not exist" + ("" if "no_lste" in nothing else "$")):
            config_chain(nothing)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ConfigChainError, match="does not exist"):
        with_bases(["fit", "--config", str(tmp_path / "nothing.yaml")])
    with pytest.raises(ConfigChainError, match="is a directory"):
        with_bases(["fit", "--config", str(tmp_path)])
    with pytest.raises(ConfigChainError, match="needs a file name"):
        with_bases(["fit", "--config"])
