from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_events, write_mnist
from facts import mentions, raises

from dvspipe.base.errors import ConfigError, DataError, FileError
from dvspipe.base.gestures import GESTURES
from dvspipe.datasets import (
    AugmentConfig,
    BatchSettings,
    Cache,
    DataConfig,
    DataSet,
    SpikeTensors,
    TensorSettings,
    VaryConfig,
    open_dataset,
    plain_batches,
    tensors,
    training_batches,
)
from dvspipe.datasets.cache import ARRAYS
from dvspipe.datasets.mnist import build_code
from dvspipe.datasets.split import Split, restore_split
from dvspipe.datasets.survey import survey
from dvspipe.encoding import BinConfig, encode
from dvspipe.events import SensorSize
from dvspipe.formats import read, write
from dvspipe.synthesis import GestureClip, SynthesisRecord, record_gesture, write_recordings

BINS = BinConfig(steps=3, step_us=40_000)


def save_folder(
    root: Path, classes: tuple[str, ...] = ("b", "a"), people: int = 5, each: int = 2, seed: int = 0
) -> None:
    for label, name in enumerate(classes):
        for person in range(people):
            for clip in range(each):
                events = random_events(seed + 100 * label + 10 * person + clip, 50)
                write(root / name / f"user{person:02}_{clip}.h5", events)


def save_nmnist(root: Path, part: str, digits: range, each: int, first: int = 0) -> None:
    for digit in digits:
        folder = root / part / str(digit)
        folder.mkdir(parents=True)
        for number in range(each):
            content = bytes([digit, number, 0x80, 0, digit]) * 3
            (folder / f"{10 * digit + number + first:05}.bin").write_bytes(content)


def names(data: DataSet) -> list[set[str]]:
    return [{sample.name for sample in part} for part in (data.train, data.validation, data.test)]


def test_partial_nmnist_is_read_with_digits_as_labels(tmp_path: Path) -> None:
    save_nmnist(tmp_path, "Train", range(10), 4)
    save_nmnist(tmp_path, "Test", range(3), 2)
    (tmp_path / "Train" / "0" / ".00001.half.bin").write_bytes(b"")
    data = open_dataset(DataConfig(data="nmnist", root=tmp_path))
    assert data.classes == tuple("0123456789")
    assert [len(part) for part in data.parts.values()] == [30, 10, 6]
    assert all(sample.label == int(Path(sample.name).parent.name) for sample in data.samples)
    assert "Test" in data.test[0].name
    events = data.train[0].load()
    assert (len(events), str(events.sensor)) == (3, "34x34")


@pytest.mark.parametrize(("group", "counts"), [(None, [6, 2, 2]), ("^user\\d+", [3, 1, 1]), (".*", [7, 1, 2])])
def test_groups_stay_in_one_part_and_the_division_is_seeded(
    tmp_path: Path, group: str | None, counts: list[int]
) -> None:
    save_folder(tmp_path)
    config = DataConfig(root=tmp_path, group=group)
    data = open_dataset(config)
    groups = [{sample.group for sample in part} for part in data.parts.values()]
    assert [len(part) for part in groups] == counts
    assert len(set.union(*groups)) == sum(counts)
    assert data.in_time == ()
    assert names(open_dataset(config)) == names(data)
    assert any(names(open_dataset(config.model_copy(update={"seed": seed}))) != names(data) for seed in range(2, 6))


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
def test_sample_name_escapes_bytes_outside_utf8(tmp_path: Path) -> None:
    save_folder(tmp_path)
    moved = (tmp_path / "a" / "user00_0.h5").rename(tmp_path / "a" / os.fsdecode(b"\xff.h5"))
    (found,) = (sample for sample in open_dataset(DataConfig(root=tmp_path)).samples if sample.file == moved)
    assert found.name == str(tmp_path / "a" / r"\udcff.h5")
    assert len(found.load())


def test_links_to_searched_folders_and_leftovers_of_killed_commands_are_skipped(tmp_path: Path) -> None:
    """Two links to their own parent folder give infinite paths, doubling at each level."""
    save_folder(tmp_path)
    plain = open_dataset(DataConfig(root=tmp_path))
    for place, target in (("a/one", "."), ("a/two", "."), ("a/up", ".."), ("b/other", "../a")):
        (tmp_path / place).symlink_to(target, target_is_directory=True)
    for folder in (tmp_path, tmp_path / "a"):
        write(folder / "x.h5.part" / "00000.h5", random_events(0, 50))
        write(folder / ".dvspipe-12345678.h5", random_events(0, 50))
    found = open_dataset(DataConfig(root=tmp_path))
    assert (names(found), found.classes, found.warnings) == (names(plain), ("a", "b"), ())


def test_samples_encoded_by_processes_equal_encode_and_their_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_folder(tmp_path)
    data = open_dataset(DataConfig(root=tmp_path))
    monkeypatch.setattr(tensors, "SERIAL_TRIAL_S", 0.0)
    monkeypatch.setattr(tensors, "MIN_PARALLEL_S", 0.0)  # start processes after the first sample
    spikes = SpikeTensors(data.train, TensorSettings(BINS), jobs=2)
    expected = np.stack([encode(sample.load(), BINS) for sample in data.train])
    assert np.array_equal(np.stack([spikes[number] for number in range(len(spikes))]), expected[:, None])
    assert spikes.labels.tolist() == [sample.label for sample in data.train]
    assert [count.kept for count in spikes.counts()] == expected.sum(axis=(1, 2, 3, 4)).tolist()
    assert np.array_equal(np.concatenate([*plain_batches(spikes, 4)]), expected)


def test_recording_of_another_sensor_is_reported(tmp_path: Path) -> None:
    save_folder(tmp_path)
    write(tmp_path / "a" / "zz.h5", random_events(0, 5, SensorSize(width=9, height=9)))
    with raises(DataError, "zz.h5"):
        SpikeTensors(open_dataset(DataConfig(root=tmp_path)).samples, TensorSettings(BINS))


def test_videos_are_simulated_once_as_by_their_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvspipe.datasets import source
    from dvspipe.recordings.config import ConvertConfig
    from dvspipe.recordings.conversion import convert_many, plan_conversions
    from dvspipe.video.frames import frames_from_arrays
    from dvspipe.video.writing import write_video

    still = [np.full((32, 48), 90, np.uint8)] * 6
    for name in ("clips/a/jump", "clips/a/wave", "clips/b/bow", "clips/b/clap", "more/a/jump", "more/b/bow"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / f"{name}.webm", frames_from_arrays(still, fps=30))
    tasks = plan_conversions(tmp_path / "clips", tmp_path / "converted")
    assert all(outcome.error is None for outcome in convert_many(tasks, ConvertConfig(shot_noise_rate_hz=20)))

    folders = {"root": tmp_path / "clips", "test_root": tmp_path / "more"}
    config = DataConfig(**folders, cache="none", validation=0.5, shot_noise_rate_hz=20)
    plain, cached = (open_dataset(config.model_copy(update={"cache": cache})) for cache in ("none", tmp_path / "cache"))
    loaded = {sample.file: sample.load() for sample in plain.samples}
    assert str(plain.sensor) == "48x32"
    assert len({events.t.tobytes() for events in loaded.values()}) == len(loaded) == 6
    assert all(loaded[task.source] == read(task.target) for task in tasks)
    assert loaded == {sample.file: sample.load() for sample in cached.samples}
    monkeypatch.setattr(source, "events_from_video", None)
    assert loaded == {sample.file: sample.load() for sample in cached.samples}
    other = open_dataset(config.model_copy(update={"shot_noise_rate_hz": 40})).train[0]
    assert other.version() != plain.train[0].version()

    # What lies in a file of frame times counts, not its name.
    monkeypatch.undo()
    times = tmp_path / "times.txt"
    timed = config.model_copy(update={"cache": tmp_path / "cache", "timestamps": times})
    for interval_s in (0.001, 0.005):
        times.write_text("".join(f"{number * interval_s}\n" for number in range(6)))
        t = open_dataset(timed).train[0].load().t
        assert 4e6 * interval_s < t[-1] - t[0]
        assert t[-1] <= 5e6 * interval_s


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"data": "nmnist"}, "root"),
        ({"data": "nmnist", "root": "."}, "Train"),
        ({"root": "nowhere"}, "nowhere"),
        ({"root": "."}, ("0", "2")),
        ({"root": "empty"}, "empty"),
        ({"root": "ungrouped", "group": r"^person"}, "group"),
    ],
)
def test_a_folder_of_another_layout_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], message: object
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in {config.get("root")} & {"empty", "ungrouped"}:
        save_folder(tmp_path / name, people=5 * (name == "ungrouped"))
        (tmp_path / name / "a").mkdir(parents=True, exist_ok=True)
    with raises(DataError, message):
        open_dataset(DataConfig.model_validate(config))


def test_additional_views_have_fewer_events_and_the_first_is_unchanged(tmp_path: Path) -> None:
    save_folder(tmp_path)
    data = open_dataset(DataConfig(root=tmp_path))

    def all_of(**settings: Any) -> np.ndarray:
        made = SpikeTensors(data.train, TensorSettings(BINS, **settings))
        return np.stack([made[i] for i in range(len(made))])

    plain, changes = all_of(), {"views": 3, "vary": VaryConfig(), "seed": 5}
    spikes = all_of(**changes)
    assert np.array_equal(spikes[:, :1], plain)
    assert np.array_equal(spikes, all_of(**changes))
    assert np.all(spikes[:, 1:] <= plain)
    assert not np.array_equal(spikes[:, 1], spikes[:, 2])
    assert not np.array_equal(spikes, all_of(**changes | {"seed": 6}))


def test_cached_tensors_are_exact_and_invalidated_by_every_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_folder(tmp_path / "data")
    samples = open_dataset(DataConfig(root=tmp_path / "data")).train
    cache = Cache(tmp_path / "cache")
    fresh = SpikeTensors(samples, TensorSettings(BINS))
    made = []
    encode_sample = tensors.encode_sample
    monkeypatch.setattr(
        tensors, "encode_sample", lambda sample, *rest: made.append(sample.name) or encode_sample(sample, *rest)
    )
    for limit_bytes in (tensors.IN_MEMORY_BYTES, 0):
        monkeypatch.setattr(tensors, "IN_MEMORY_BYTES", limit_bytes)
        kept = SpikeTensors(samples, TensorSettings(BINS), cache=cache)
        assert all(np.array_equal(kept[i], fresh[i]) for i in range(len(samples)))
        assert kept.counts() == fresh.counts()
    assert made == [sample.name for sample in samples]  # nothing is encoded the second time
    SpikeTensors(samples, TensorSettings(BINS.model_copy(update={"step_us": 30_000})), cache=cache)
    assert len(made) == 2 * len(samples)
    write(samples[0].name, random_events(77, 60), overwrite=True)
    changed = SpikeTensors(samples, TensorSettings(BINS), cache=cache)
    assert made[2 * len(samples) :] == [samples[0].name]
    assert np.array_equal(changed[0], [encode(random_events(77, 60), BINS)])


def test_corrupted_cached_tensor_is_recomputed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_folder(tmp_path / "data")
    samples, cache = open_dataset(DataConfig(root=tmp_path / "data")).train[:1], Cache(tmp_path / "cache")
    fresh = SpikeTensors(samples, TensorSettings(BINS), cache=cache)
    (file,) = cache.folder.rglob(f"*{ARRAYS}")
    content = file.read_bytes()
    for corrupted in (b"", content[: len(content) // 2], content[:60] + b"xx" + content[62:], b"nonsense"):
        file.write_bytes(corrupted)
        assert np.array_equal(SpikeTensors(samples, TensorSettings(BINS), cache=cache)[0], fresh[0])
        assert file.read_bytes() == content
    assert caplog.text.count(str(file)) == 4


def test_the_cache_keeps_arrays_that_are_not_contiguous(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.int16).reshape(3, 4)
    stored = {"step": rows[:, ::2], "columns": np.asfortranarray(rows), "none": rows[:0], "number": rows[2, 3, ...]}
    cache = Cache(tmp_path)
    cache.write("abcd", **stored)
    found = cache.read("abcd")
    assert found is not None
    assert found.keys() == stored.keys()
    for name, array in stored.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert found[name].flags.writeable


def test_error_of_a_full_disk_names_the_setting_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, size: int) -> None:
        raise FileError(f"{path}: no space for {size} bytes")

    save_folder(tmp_path / "data")
    samples = open_dataset(DataConfig(root=tmp_path / "data")).train
    monkeypatch.setattr("dvspipe.datasets.cache.require_space", full)
    with raises(FileError, "space", "cache=DIR", "cache=none"):
        SpikeTensors(samples, TensorSettings(BINS), cache=Cache(tmp_path / "cache"))
    assert not [*(tmp_path / "cache").rglob(f"*{ARRAYS}")]


def test_rendered_gestures_divide_people() -> None:
    data = open_dataset(DataConfig(data="gestures", train_people=4, test_people=2, clips=1))
    assert data.synthetic
    assert (len(data.train), len(data.validation), len(data.test)) == (33, 11, 22)
    assert {sample.group for sample in data.test} == {"person 4", "person 5"}
    sample = data.test[3]
    assert sample.load() == record_gesture(GestureClip(3, person=4, clip=0, seed=0))


def test_training_batches_contain_each_recording_once_and_depend_only_on_seed_and_epoch(tmp_path: Path) -> None:
    save_folder(tmp_path)
    made = SpikeTensors(open_dataset(DataConfig(root=tmp_path)).train, TensorSettings(BINS, views=2))
    still, shifted = AugmentConfig(shift_px=0), AugmentConfig(shift_px=2)

    def drawn(epoch: int, config: AugmentConfig, size: int = 5) -> list[Any]:
        return [*training_batches(made, BatchSettings(size, config, ("a", "b"), 0), epoch)]

    def spikes(*key: Any) -> np.ndarray:
        return np.concatenate([batch.spikes for batch in drawn(*key)])

    batches = drawn(1, still)
    assert [len(batch.spikes) for batch in batches] == [5, 5, 2]
    labels = np.concatenate([batch.labels for batch in batches])
    assert sorted(labels.tolist()) == sorted(made.labels.tolist())
    assert all((batch.targets == np.eye(2)[batch.labels]).all() for batch in batches)
    numbers = {view.tobytes(): number for number in range(len(made)) for view in made[number]}
    assert sorted(numbers[tensor.tobytes()] for tensor in spikes(1, still)) == [*range(len(made))]
    for config in (still, shifted):
        assert np.array_equal(spikes(1, config), spikes(1, config))
        assert np.array_equal(spikes(1, config), spikes(1, config, 1))
        assert not np.array_equal(spikes(1, config), spikes(2, config))


def test_split_file_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_folder(tmp_path / "data")
    data = open_dataset(DataConfig(root=tmp_path / "data", seed=3))
    path = tmp_path / "split.json"
    Split.of(data).write(path)
    config = DataConfig(root=tmp_path / "data", split=path)
    drawn = open_dataset(DataConfig(root=tmp_path / "data"))
    restored = restore_split(path, drawn)
    assert restored is not None
    assert names(restored) == names(open_dataset(config)) == names(data) != names(drawn)
    monkeypatch.chdir(tmp_path)
    assert restore_split(path, open_dataset(DataConfig(root=Path("data"), seed=3)))  # the same files by other names
    save_folder(tmp_path / "other", classes=("c", "d"))
    assert restore_split(path, open_dataset(DataConfig(root=tmp_path / "other"))) is None

    named = json.loads(path.read_text())
    first, *others = named["validation"]
    path.write_text(json.dumps(named | {"validation": others}))
    with raises(DataError, "split.json", first, "split="):
        restore_split(path, drawn)
    path.write_text(json.dumps(named))
    with raises(DataError, "user00"):  # in two parts
        open_dataset(config.model_copy(update={"group": r"user\d+"}))
    for content, facts in (
        (json.dumps(named | {"test": [*named["test"], named["train"][0]]}), "split.json"),
        (json.dumps(named | {"test": [*named["test"], "elsewhere.h5"]}), ("split.json", "elsewhere.h5")),
        ("[]", ("train", "validation", "test")),
        ("{", "split.json"),
    ):
        path.write_text(content)
        with raises(DataError, facts):
            open_dataset(config)


def test_second_folder_is_the_test_part(tmp_path: Path) -> None:
    save_folder(tmp_path / "mine")
    save_folder(tmp_path / "other", people=1)
    data = open_dataset(DataConfig(root=tmp_path / "mine", test_root=tmp_path / "other"))
    assert {Path(sample.name).parents[1] for sample in data.test} == {tmp_path / "other"}
    assert [len(part) for part in data.parts.values()] == [16, 4, 4]
    with raises(DataError, "nowhere"):
        open_dataset(DataConfig(root=tmp_path / "mine", test_root=tmp_path / "nowhere"))


def test_synthetic_digits_can_be_tested_on_real_digits_of_other_images(tmp_path: Path) -> None:
    made, real = tmp_path / "made", tmp_path / "real"
    write_recordings(made, SynthesisRecord(kind="digits", seed=0), {})
    save_nmnist(made, "Train", range(10), 3)
    save_nmnist(real, "Train", range(10), 2, first=5)
    save_nmnist(real, "Test", range(10), 2)
    for root, test_root, synthetic, tested in (
        (made, None, (True, True, True), 10),
        (made, real, (True, False, True), 40),
        (real, made, (False, True, True), 30),
        (real, None, (False, False, False), 20),
    ):
        data = open_dataset(DataConfig(data="nmnist", root=root, test_root=test_root))
        assert tuple(map(data.is_synthetic, ("train", "test", "all"))) == synthetic
        assert len(data.test) == tested
        assert all(Path(sample.name).is_relative_to(test_root or root) for sample in data.test)
    (made / "Train" / "4" / "00040.bin").rename(made / "Train" / "4" / "00045.bin")
    with raises(DataError, "real", "made", "00045.bin", "image"):
        open_dataset(DataConfig(data="nmnist", root=made, test_root=real))


def test_data_set_hints_apply_to_its_files(tmp_path: Path) -> None:
    for name in ("a/0.csv", "a/1.csv", "a/2.csv", "b/0.csv", "b/1.csv", "b/2.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1,2,0,5\n3,1,0,9\n")
    with raises(DataError, "columns"):
        open_dataset(DataConfig(root=tmp_path, sensor="12x7")).train[0].read_content()
    events = open_dataset(DataConfig(root=tmp_path, columns="xypt", sensor="12x7")).train[0].load()
    assert events.t.tolist() == [5, 9]


def test_windows_cover_the_recording_and_stay_in_one_part(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / "ab"[number % 2] / f"{number}.h5", random_events(number, 500, span_us=380_000))
    (tmp_path / ".notebooks").mkdir()  # hidden, no class
    data = open_dataset(DataConfig(root=tmp_path, window_us=100000))
    counts: Counter[Path | None] = Counter()
    for sample in data.samples:
        events = sample.load()
        assert 0 < events.duration_us < 100_000
        counts[sample.file] += len(events)
    assert set(counts.values()) == {500}  # the last half window is kept
    files = [{sample.file for sample in part} for part in data.parts.values()]
    assert sum(map(len, files)) == len(set.union(*files)) == 6


def test_long_labels_are_cut_into_windows_that_end_with_the_label(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.h5", random_events(number, 500, span_us=380_000))
        (tmp_path / f"{number}_labels.csv").write_text("class,start_us,end_us\na,0,270000\nb,270000,320000\n")
    data = open_dataset(DataConfig(data="labelled", root=tmp_path, window_us=100000))
    assert sorted(data.classes[sample.label] for sample in data.samples) == ["a"] * 9 + ["b"] * 3
    for sample in data.samples:
        start_us, end_us = ((0, 270_000), (270_000, 320_000))[sample.label]
        events = sample.load()
        assert start_us <= events.t[0] <= events.t[-1] < end_us
        assert 0 < events.duration_us <= 100_000


def test_recordings_below_class_folders_give_a_warning(tmp_path: Path) -> None:
    save_folder(tmp_path)
    for name in ("a/old/deep/1.h5", "a/old/2.h5", "a/.hidden/3.h5"):
        write(tmp_path / name, random_events(0, 20))
    (tmp_path / "a" / "link").symlink_to("old", target_is_directory=True)
    (tmp_path / "a" / "old" / "back").symlink_to("..", target_is_directory=True)
    data = open_dataset(DataConfig(root=tmp_path))
    (warning,) = data.warnings
    assert mentions(warning, "2 files", tmp_path / "a/old")
    assert warning in survey(data).problems


@pytest.mark.parametrize(
    ("layout", "unread"),
    [
        ("", "a/notes.xyz"),
        ("", "loose.h5"),
        ("train", "val/a/1.h5"),
        ("train", "loose.h5"),
    ],
)
def test_files_that_are_not_read_are_counted(tmp_path: Path, layout: str, unread: str) -> None:
    save_folder(tmp_path / layout)
    (tmp_path / "notes.txt").write_text("beside the classes, notes are no recordings")
    (tmp_path / "._0_labels.csv").write_bytes(b"which macOS writes on other disks")
    assert open_dataset(tmp_path).warnings == ()
    (tmp_path / unread).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / unread).write_bytes(b"x")
    (warning,) = open_dataset(tmp_path).warnings
    assert mentions(warning, "1 file ", tmp_path / unread)


def test_recordings_that_are_not_in_the_list_or_not_labelled_are_counted(tmp_path: Path) -> None:
    for kind, names in (("listed", "ab"), ("labelled", ("", ""))):
        for number, name in enumerate(names):
            for each in range(4):
                write(tmp_path / kind / name / f"{number}{each}.h5", random_events(each + 10 * number, 50))
                labels = tmp_path / kind / name / f"{number}{each}_labels.csv"
                if kind == "labelled" and each:
                    labels.write_text(f"class,start_us,end_us\n{number},0,270000\n")
    rows = [f"1,{name}/{n}{each}.h5,{name},train,\n" for n, name in enumerate("ab") for each in range(1, 4)]
    (tmp_path / "listed" / "splits.csv").write_text("split,file,class,part,group\n" + "".join(rows))
    for kind, first in (("listed", "a/00.h5"), ("labelled", "00.h5")):
        data = open_dataset(tmp_path / kind)
        assert len(data.samples) == 6
        (warning,) = data.warnings
        assert mentions(warning, "2 files", tmp_path / kind / first)


def test_recording_in_two_formats_is_not_two_samples(tmp_path: Path) -> None:
    save_folder(tmp_path)
    write(tmp_path / "a" / "user00_0.npz", read(tmp_path / "a" / "user00_0.h5"))
    with raises(DataError, tmp_path / "a", "user00_0.h5", "user00_0.npz", "rename"):
        open_dataset(tmp_path)


def test_video_beside_its_recording_is_not_a_second_sample(tmp_path: Path) -> None:
    save_folder(tmp_path)
    plain = open_dataset(DataConfig(root=tmp_path))
    for sample in plain.samples:
        Path(sample.name).with_suffix(".webm").write_bytes(b"the video that it was made of")
    path = tmp_path / "a" / "user00_0.h5"
    path.rename(path.with_name("user00_0.webm.h5"))  # the name of `convert` if there is another user00_0
    data = open_dataset(DataConfig(root=tmp_path))
    assert {sample.file.suffix for sample in data.samples if sample.file} == {".h5"}
    assert len(data.samples) == len(plain.samples)
    (warning,) = data.warnings
    assert mentions(warning, "20 files", ".webm")


def test_moved_test_folder_stays_the_test_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_folder(tmp_path / "data" / "train")
    save_folder(tmp_path / "data" / "test", people=1, seed=1000)
    monkeypatch.chdir(tmp_path)
    data = open_dataset(DataConfig(root=Path("data"), seed=3))
    tested = {f"test/{name}/user00_{clip}.h5" for name in "ab" for clip in range(2)}
    assert names(data)[2] == {f"data/{name}" for name in tested}

    Split.of(data).write(tmp_path / "split.json")
    (tmp_path / "data").rename(tmp_path / "moved")
    restored = restore_split(tmp_path / "split.json", open_dataset(DataConfig(root=tmp_path / "moved")))
    assert restored is not None
    assert names(restored)[2] == {str(tmp_path / "moved" / name) for name in tested}
    with raises(DataError, "test/", "train/", "'user00'"):
        open_dataset(DataConfig(root=tmp_path / "moved", group="^user\\d+"))


def test_empty_and_unknown_class_folders_are_reported_together(tmp_path: Path) -> None:
    save_folder(tmp_path / "train", ("a", "b", "c"), people=3)
    save_folder(tmp_path / "test", ("a", "zebra"), people=1)
    with raises(DataError, "zebra"):
        open_dataset(DataConfig(root=tmp_path))
    for empty in ("train/e", "train/f", "test/b"):
        (tmp_path / empty).mkdir()
    with pytest.raises(DataError) as error:
        open_dataset(DataConfig(root=tmp_path))
    for fact in ("train/e", "train/f", ".aedat4"):
        assert str(error.value).count(fact) == 1


def test_gestures_in_a_folder_keep_ibm_order(tmp_path: Path) -> None:
    save_folder(tmp_path, classes=("arm_roll", "hand_clapping"))
    data = open_dataset(DataConfig(data="gestures", root=tmp_path))
    assert {sample.label for sample in data.train} == {0, 7}
    assert data.classes == GESTURES
    save_folder(tmp_path, classes=("juggling",))
    with raises(DataError, "juggling", "hand_clapping"):
        open_dataset(DataConfig(data="gestures", root=tmp_path))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("latency", {}),
        ("population", {"neurons": 3}),
        ("contrast", {"threshold": 0.4}),
        ("constant", {}),
        ("poisson", {}),
    ],
)
def test_mnist_images_are_encoded_by_the_configured_code(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    train, test = (np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8) for count in (40, 10))
    write_mnist(tmp_path / "mnist", train, test)
    bins = BinConfig(steps=6)
    config = DataConfig(data="mnist", root=tmp_path / "mnist", code=name, code_settings=settings)
    data, code = open_dataset(config, bins=bins), build_code(config, bins)
    assert (data.inputs, str(data.sensor)) == (code.channels, "28x28")
    assert [len(part) for part in data.parts.values()] == [30, 10, 10]
    made = SpikeTensors(data.test, TensorSettings(bins, seed=3))
    for number in (0, 4):
        expected = code.encode(test[number], np.random.default_rng([3, number]))
        assert np.array_equal(made[number], [expected])
    if name == "constant":
        assert np.allclose(expected, test[4] / 255)
    assert made.labels.tolist() == list(range(10))
    with raises(ConfigError, "code_settings"):
        open_dataset(config.model_copy(update={"code_settings": {"wrong": 3}}), bins)
    with raises(DataError, "image 1"):
        survey(data)
