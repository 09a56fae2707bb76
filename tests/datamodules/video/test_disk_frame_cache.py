"""Frames on disk: bit by bit those that were read, found by what decides them, and never a wrong one."""

import logging
import multiprocessing
import shutil
from pathlib import Path

import pytest
import torch

from components.files import content_hash
from datamodules.checking.media_facts import NoManifest
from datamodules.video.damage import DamagedVideo
from datamodules.video.frame_cache import UNIT, DiskFrameCache, Recipe
from datamodules.video.frame_file import from_file, to_file
from datamodules.video.geometry import CanvasGeometry, FittedClip
from datamodules.video.sampling import FpsSampler, OfficialSampler, UniformSampler

VIDEOS = Path(__file__).parents[2] / "data" / "videos"
CLIPS = ("keyboard_rot270.mov", "nasa_13013_rotated.mp4", "asl_eat_portrait.mp4", "toy_rabbit320.mp4")
STUDENT, TEACHER = CanvasGeometry(112, 14, 2, (122, 116, 104)), CanvasGeometry(56, 14, 1, (122, 116, 104))


def recipes(sampler=None, geometries=(STUDENT, TEACHER), damaged=DamagedVideo.REFUSE):
    sampler = sampler or UniformSampler(3)
    return [Recipe(sampler, damaged, geometry) for geometry in geometries]


def read(clip, asked):
    with NoManifest().open(clip, asked[0].damaged) as reader:
        frames = reader.frames(asked[0].sampler.indices(len(reader), reader.fps))
    return tuple(recipe.geometry(frames) for recipe in asked)


class Clip:
    """A clip, and how often it was read."""

    def __init__(self, path):
        self.path, self.count = path, 0

    def get(self, cache, asked=None, content=content_hash):
        asked = asked or recipes()

        def counted():
            self.count += 1
            return read(self.path, asked)

        return cache.get(self.path, asked, content, counted)


@pytest.fixture
def clip(tmp_path):
    shutil.copy(VIDEOS / CLIPS[0], tmp_path / "clip.mov")
    return Clip(tmp_path / "clip.mov")


def same(views, others):
    return len(views) == len(others) and all(
        torch.equal(a.frames, b.frames) and torch.equal(a.rectangle, b.rectangle) and a.canvas == b.canvas
        for a, b in zip(views, others, strict=True)
    )


def kept(folder):
    return sorted(folder.rglob("*.safetensors"))


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_read_once_and_every_bit_is_kept(tmp_path, name):
    clip = Clip(VIDEOS / name)
    plain = read(clip.path, recipes())
    assert same(clip.get(DiskFrameCache(str(tmp_path))), plain)
    assert same(clip.get(DiskFrameCache(str(tmp_path))), plain)  # as another run
    assert clip.count == 1
    files = kept(tmp_path)
    assert len(files) == 2 and all(file.parent.name == file.name[:2] for file in files)
    assert sum(file.stat().st_size for file in files) < sum(view.frames.nbytes for view in plain)  # no padding


def test_a_run_without_a_teacher_takes_the_model_s_view_of_one_with(tmp_path, clip):
    both = clip.get(DiskFrameCache(str(tmp_path / "kept")))
    assert same(clip.get(DiskFrameCache(str(tmp_path / "kept")), recipes(geometries=[STUDENT])), both[:1])
    assert clip.count == 1


def test_a_moved_clip_is_found_and_an_overwritten_one_is_not(tmp_path, clip):
    cache = DiskFrameCache(str(tmp_path / "kept"))
    first = clip.get(cache)
    moved = Clip(clip.path.rename(tmp_path / "other.mov"))
    assert same(moved.get(cache), first) and moved.count == 0
    shutil.copy(VIDEOS / CLIPS[1], clip.path)
    assert same(clip.get(cache), read(VIDEOS / CLIPS[1], recipes()))
    assert clip.count == 2


def test_frames_of_a_clip_that_is_overwritten_while_it_is_read_are_not_kept(tmp_path, clip):
    cache = DiskFrameCache(str(tmp_path / "kept"))

    def overwritten():
        views = read(clip.path, recipes())
        shutil.copy(VIDEOS / CLIPS[1], clip.path)
        return views

    cache.get(clip.path, recipes(), content_hash, overwritten)
    assert not kept(tmp_path / "kept")


@pytest.mark.parametrize(
    "other",
    [
        {"sampler": UniformSampler(2)},
        {"sampler": OfficialSampler(3)},
        {"sampler": FpsSampler(1.0, 3)},
        {"damaged": DamagedVideo.KEEP_DECODABLE},
        {"geometries": [CanvasGeometry(56, 14, 2, STUDENT.fill)]},
        {"geometries": [CanvasGeometry(112, 7, 4, STUDENT.fill)]},
        {"geometries": [CanvasGeometry(112, 14, 2, (0, 0, 0))]},
        {"geometries": [type("Other", (CanvasGeometry,), {})(112, 14, 2, STUDENT.fill)]},
    ],
)
def test_other_frames_or_another_canvas_are_not_found(tmp_path, clip, other):
    cache = DiskFrameCache(str(tmp_path / "kept"))
    clip.get(cache)
    asked = recipes(**other)
    assert same(clip.get(cache, asked), read(clip.path, asked))
    assert clip.count == 2


def test_a_setting_without_words_is_refused(tmp_path, clip):
    sampler = UniformSampler(3)
    sampler.weights = torch.ones(3)
    with pytest.raises(ValueError, match=r"data\.init_args\.frame_cache.*a Tensor cannot be written down"):
        clip.get(DiskFrameCache(str(tmp_path / "kept")), recipes(sampler))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "one bit": flip_a_bit,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "empty": lambda path: path.write_bytes(b""),
    "of another view": lambda path: path.write_bytes(next(f for f in kept(path.parents[1]) if f != path).read_bytes()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_once_and_replaced(tmp_path, clip, damage, caplog):
    folder = tmp_path / "kept"
    plain = clip.get(DiskFrameCache(str(folder)))
    path = kept(folder)[0]
    cache = DiskFrameCache(str(folder))
    for _ in range(2):
        damage(path)
        assert same(clip.get(cache), plain)
        assert same(clip.get(cache), plain)  # replaced
    assert clip.count == 3 and cache.damaged == {path}
    assert [record.message.startswith(f"kept frames {path} are damaged") for record in caplog.records] == [True]


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path, clip, caplog):
    (tmp_path / "kept").write_text("a file, not a folder")
    cache = DiskFrameCache(str(tmp_path / "kept"))
    for _ in range(3):
        assert same(clip.get(cache), read(clip.path, recipes()))
    assert clip.count == 3 and cache.not_kept == 6
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "no more frames are kept in" in caplog.text and "the run goes on without" in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_warning_and_leaves_no_part_of_a_file(tmp_path, clip, caplog):
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "size").symlink_to("/dev/full")
    cache = DiskFrameCache(str(folder))
    for _ in range(2):
        assert same(clip.get(cache), read(clip.path, recipes()))
    assert cache.not_kept == 4 and len(caplog.records) == 1 and "No space left" in caplog.text
    assert not [path for path in folder.rglob("*") if path.name != "size"]


def test_the_bound_is_that_of_the_folder_whoever_writes(tmp_path, caplog):
    clips = [Clip(VIDEOS / name) for name in CLIPS]
    room = 6 * UNIT  # a view takes one or two of them
    for clip in clips:
        clip.get(DiskFrameCache(str(tmp_path), disk_gib=room / 2**30))  # each as a process of its own
    files = kept(tmp_path)
    assert 2 < len(files) < 8 and sum(file.stat().st_size for file in files) <= room
    assert "disk_gib" in caplog.text
    for clip in clips:  # what is there is found
        clip.get(DiskFrameCache(str(tmp_path), disk_gib=room / 2**30), recipes(geometries=[STUDENT]))
    assert [clip.count for clip in clips][:2] == [1, 1]


@pytest.mark.parametrize("gib", [0, -1])
def test_a_bound_without_room_is_refused(gib):
    with pytest.raises(ValueError, match=r"data\.init_args\.frame_cache\.init_args\.disk_gib is .*use NoCache"):
        DiskFrameCache("kept", disk_gib=gib)


def write_and_compare(folder, removes, start, failed):
    path, asked = VIDEOS / CLIPS[0], recipes(geometries=[CanvasGeometry(448, 14, 2, STUDENT.fill)])
    views, cache = read(path, asked), DiskFrameCache(folder)
    start.wait()
    for _ in range(100):
        if not same(cache.get(path, asked, content_hash, lambda: views), views) or cache.damaged or cache.not_kept:
            failed.set()
        if removes:  # so that both write all the time
            cache.path(content_hash(path), asked[0]).unlink(missing_ok=True)


def test_processes_share_a_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    start, failed = context.Barrier(2), context.Event()
    processes = [
        context.Process(target=write_and_compare, args=(str(tmp_path), removes, start, failed))
        for removes in (True, False)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0] and not failed.is_set()
    assert not list(tmp_path.rglob(".*"))  # nothing half-written is left


def test_a_view_without_padding_of_one_colour_is_kept_too():
    frames = torch.randint(0, 256, (2, 3, 56, 56), dtype=torch.uint8)
    view = FittedClip(frames, torch.tensor([1, 0, 2, 4]), (4, 4))
    assert same([from_file(to_file(view, "a"), "a")], [view])
    with pytest.raises(ValueError, match="checksum"):
        from_file(to_file(view, "a"), "b")


def test_a_file_is_hashed_once_until_it_changes(clip, monkeypatch):
    first = content_hash(clip.path)
    monkeypatch.setattr(Path, "open", None)
    assert content_hash(clip.path) == first
    monkeypatch.undo()
    flip_a_bit(clip.path)
    assert content_hash(clip.path) != first


def test_a_clip_that_is_not_there_is_reported_by_its_reader(tmp_path):
    missing = Clip(tmp_path / "none.mp4")
    with pytest.raises(ValueError, match="no such file"):
        missing.get(DiskFrameCache(str(tmp_path)))
