from __future__ import annotations

import json
import os
import shutil
import sys
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
from dvspipe.events import Events, SensorSize
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
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 6)
    assert not data.synthetic
    for sample in (*data.train, *data.validation, *data.test):
        assert sample.label == int(Path(sample.name).parent.name)
    assert "Test" in data.test[0].name
    events = data.train[0].load()
    assert events.sensor == SensorSize(width=34, height=34)
    assert len(events) == 3


def test_groups_stay_in_one_part_and_the_division_is_seeded(tmp_path: Path) -> None:
    save_folder(tmp_path)
    config = DataConfig(root=tmp_path, group="^user\\d+")
    data = open_dataset(config)
    groups = [{sample.group for sample in part} for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in groups] == [3, 1, 1]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert names(open_dataset(config)) == names(data)
    assert any(names(open_dataset(config.model_copy(update={"seed": seed}))) != names(data) for seed in range(2, 6))


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
def test_sample_name_escapes_bytes_outside_utf8(tmp_path: Path) -> None:
    save_folder(tmp_path)
    first = min((tmp_path / "a").iterdir())
    moved = first.rename(first.with_name(os.fsdecode(b"\xff") + first.name))
    data = open_dataset(DataConfig(root=tmp_path))
    samples = (*data.train, *data.validation, *data.test)
    (found,) = (sample for sample in samples if sample.file == moved)
    assert found.name == str(tmp_path / "a" / rf"\udcff{first.name}")
    assert len(found.load())


def test_links_to_searched_folders_are_not_followed(tmp_path: Path) -> None:
    """Two links to their own parent folder give infinite paths, doubling at each level."""
    root = tmp_path / "data"
    save_folder(root)
    plain = open_dataset(DataConfig(root=root))
    for place, target in (("a/one", "."), ("a/two", "."), ("a/up", ".."), ("b/other", "../a")):
        (root / place).symlink_to(target, target_is_directory=True)
    linked = open_dataset(DataConfig(root=root))
    assert names(linked) == names(plain)
    assert (linked.classes, linked.warnings) == (("a", "b"), ())
    save_folder(tmp_path / "elsewhere", people=1, classes=("a",))
    shutil.copytree(tmp_path / "elsewhere" / "a", root / "b" / "session")
    (root / "b" / "session" / "back").symlink_to("..", target_is_directory=True)
    (root / "b" / "second").symlink_to("session", target_is_directory=True)
    (warning,) = open_dataset(DataConfig(root=root)).warnings
    assert mentions(warning, "2 recordings")


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
    if config.get("root") == "empty":
        for name in "ab":
            (tmp_path / "empty" / name).mkdir(parents=True)
    if config.get("root") == "ungrouped":
        save_folder(tmp_path / "ungrouped")
    with raises(DataError, message):
        open_dataset(DataConfig.model_validate(config))


def test_encoded_samples_equal_encode_and_their_counts(tmp_path: Path) -> None:
    save_folder(tmp_path)
    data = open_dataset(DataConfig(root=tmp_path))
    spikes = SpikeTensors(data.train, TensorSettings(BINS))
    assert len(spikes) == len(data.train)
    for number, sample in enumerate(data.train):
        assert np.array_equal(spikes[number], [encode(sample.load(), BINS)])
        assert spikes.labels[number] == sample.label
    assert [count.kept for count in spikes.counts()] == [int(spikes[i].sum()) for i in range(len(spikes))]
    joined = np.concatenate([*plain_batches(spikes, 4)])
    assert np.array_equal(joined, np.stack([spikes[i][0] for i in range(len(spikes))]))


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
    assert spikes[:, 1:].sum() < 1.99 * plain.sum()
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
    assert changed[0].sum() == encode(random_events(77, 60), BINS).sum()


def test_leftovers_of_a_killed_command_are_not_recordings(tmp_path: Path) -> None:
    save_folder(tmp_path)
    before = names(open_dataset(DataConfig(root=tmp_path)))
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "x.h5.part").mkdir()
        write(folder / "x.h5.part" / "00000.h5", random_events(0, 50))
        write(folder / ".dvspipe-12345678.h5", random_events(0, 50))
    assert names(open_dataset(DataConfig(root=tmp_path))) == before


def test_corrupted_cached_tensor_is_recomputed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_folder(tmp_path / "data")
    samples, cache = open_dataset(DataConfig(root=tmp_path / "data")).train, Cache(tmp_path / "cache")
    fresh = SpikeTensors(samples, TensorSettings(BINS), cache=cache)
    files = sorted(cache.folder.rglob(f"*{ARRAYS}"))
    assert len(files) == len(samples)
    content = files[0].read_bytes()
    for corrupted in (b"", content[: len(content) // 2], content[:60] + b"xx" + content[62:], b"nonsense"):
        files[0].write_bytes(corrupted)
        again = SpikeTensors(samples, TensorSettings(BINS), cache=cache)
        assert all(np.array_equal(again[i], fresh[i]) for i in range(len(samples)))
        assert files[0].read_bytes() == content
    assert caplog.text.count(str(files[0])) == 4


def test_the_cache_keeps_arrays_that_are_not_contiguous(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.int16).reshape(3, 4)
    stored = {
        "step": rows[:, ::2],
        "columns": np.asfortranarray(rows),
        "none": rows[:0],
        "number": rows[2, 3:4].reshape(()),
    }
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


def test_empty_recording_and_other_sensor_are_reported(tmp_path: Path) -> None:
    save_folder(tmp_path)
    write(tmp_path / "a" / "zz.h5", Events.empty(SensorSize(width=12, height=7)))
    data = open_dataset(DataConfig(root=tmp_path, validation=0.01, test=0.01))
    samples = [*data.train, *data.validation, *data.test]
    with raises(DataError, "zz.h5"):
        SpikeTensors(samples, TensorSettings(BINS))
    write(tmp_path / "a" / "zz.h5", random_events(0, 5, SensorSize(width=9, height=9)), overwrite=True)
    with raises(DataError, "zz.h5"):
        SpikeTensors(samples, TensorSettings(BINS))


def test_rendered_gestures_divide_people() -> None:
    data = open_dataset(DataConfig(data="gestures", train_people=4, test_people=2, clips=1))
    assert data.synthetic
    assert (len(data.train), len(data.validation), len(data.test)) == (33, 11, 22)
    assert {sample.group for sample in data.test} == {"person 4", "person 5"}
    sample = data.test[3]
    assert sample.load() == record_gesture(GestureClip(3, person=4, clip=0, seed=0))


def test_parallel_encoding_equals_serial_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_folder(tmp_path)
    data = open_dataset(DataConfig(root=tmp_path))
    bins = BinConfig(steps=4, step_us=20_000)
    alone = SpikeTensors(data.train[:4], TensorSettings(bins))
    monkeypatch.setattr(tensors, "SERIAL_TRIAL_S", 0.0)
    monkeypatch.setattr(tensors, "MIN_PARALLEL_S", 0.0)  # start processes after the first sample
    together = SpikeTensors(data.train[:4], TensorSettings(bins), jobs=2)
    assert all(np.array_equal(alone[i], together[i]) for i in range(4))


def test_training_batches_contain_each_recording_once_and_depend_only_on_seed_and_epoch(tmp_path: Path) -> None:
    save_folder(tmp_path)
    made = SpikeTensors(open_dataset(DataConfig(root=tmp_path)).train, TensorSettings(BINS, views=2))
    still = AugmentConfig(shift_px=0)

    def drawn(seed: int, epoch: int, config: AugmentConfig = still, size: int = 5) -> list[Any]:
        return [*training_batches(made, BatchSettings(size, config, ("a", "b"), seed), epoch)]

    batches = drawn(0, 1)
    assert [len(batch.spikes) for batch in batches] == [5] * (len(made) // 5) + [len(made) % 5] * (len(made) % 5 > 0)
    labels = np.concatenate([batch.labels for batch in batches])
    assert sorted(labels.tolist()) == sorted(made.labels.tolist())
    assert all((batch.targets == np.eye(2)[batch.labels]).all() for batch in batches)
    wanted = sorted(view.tobytes() for i in range(len(made)) for view in made[i])
    assert {tensor.tobytes() for batch in batches for tensor in batch.spikes} <= set(wanted)
    shifted = AugmentConfig(shift_px=2)
    for config in (still, shifted):
        first, again, other = (
            np.concatenate([batch.spikes for batch in drawn(*key, config)]) for key in ((0, 1), (0, 1), (0, 2))
        )
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
    one_by_one = np.concatenate([batch.spikes for batch in drawn(0, 1, shifted, size=1)])
    assert np.array_equal(one_by_one, np.concatenate([batch.spikes for batch in drawn(0, 1, shifted)]))


def test_split_file_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_folder(tmp_path / "data")
    data = open_dataset(DataConfig(root=tmp_path / "data", seed=3))
    path = tmp_path / "split.json"
    Split.of(data).write(path)
    config = DataConfig(root=tmp_path / "data", split=path)
    assert names(open_dataset(config)) == names(data)
    drawn = open_dataset(DataConfig(root=tmp_path / "data"))
    assert names(drawn) != names(data)
    restored = restore_split(path, drawn)
    assert restored is not None
    assert names(restored) == names(data)
    monkeypatch.chdir(tmp_path)
    assert restore_split(path, open_dataset(DataConfig(root=Path("data"), seed=3)))  # the same files by other names
    save_folder(tmp_path / "other", classes=("c", "d"))
    assert restore_split(path, open_dataset(DataConfig(root=tmp_path / "other"))) is None
    named = json.loads(path.read_text())
    path.write_text(json.dumps(named | {"validation": named["validation"][1:]}))
    with raises(DataError, "split.json", named["validation"][0], "split="):
        restore_split(path, drawn)
    named["test"].append(named["train"][0])
    path.write_text(json.dumps(named))
    with raises(DataError, "split.json"):
        open_dataset(config)
    named["test"][-1] = "elsewhere.h5"
    path.write_text(json.dumps(named))
    with raises(DataError, "split.json", "elsewhere.h5"):
        open_dataset(config)
    for content, says in (("[]", ("train", "validation", "test")), ("{", "split.json")):
        path.write_text(content)
        with raises(DataError, says):
            open_dataset(config)


def test_second_folder_is_the_test_part(tmp_path: Path) -> None:
    save_nmnist(tmp_path / "one", "Train", range(10), 3)
    save_nmnist(tmp_path / "two", "Train", range(10), 2, first=5)
    save_nmnist(tmp_path / "two", "Test", range(4), 1)
    config = DataConfig(data="nmnist", root=tmp_path / "one", test_root=tmp_path / "two")
    data = open_dataset(config)
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 10, 24)
    assert all(str(tmp_path / "two") in sample.name for sample in data.test)
    save_folder(tmp_path / "mine")
    save_folder(tmp_path / "other", people=1)
    data = open_dataset(DataConfig(root=tmp_path / "mine", test_root=tmp_path / "other"))
    assert len(data.test) == 4
    with raises(DataError, "nowhere"):
        open_dataset(DataConfig(root=tmp_path / "mine", test_root=tmp_path / "nowhere"))


def test_synthetic_digits_can_be_tested_on_real_digits_of_other_images(tmp_path: Path) -> None:
    write_recordings(tmp_path / "made", SynthesisRecord(kind="digits", seed=0), {})
    save_nmnist(tmp_path / "made", "Train", range(10), 3)
    save_nmnist(tmp_path / "real", "Train", range(10), 2, first=5)
    save_nmnist(tmp_path / "real", "Test", range(10), 2)
    made, real = tmp_path / "made", tmp_path / "real"
    for root, test_root, synthetic in (
        (made, None, (True, True, True)),
        (made, real, (True, False, True)),
        (real, made, (False, True, True)),
        (real, None, (False, False, False)),
    ):
        data = open_dataset(DataConfig(data="nmnist", root=root, test_root=test_root))
        assert tuple(map(data.is_synthetic, ("train", "test", "all"))) == synthetic
    (made / "Train" / "4" / "00040.bin").rename(made / "Train" / "4" / "00045.bin")
    with raises(DataError, "real", "made", "00045.bin", "image"):
        open_dataset(DataConfig(data="nmnist", root=made, test_root=real))


def test_videos_are_simulated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvspipe.datasets import source
    from dvspipe.recordings.config import FilmConfig
    from dvspipe.recordings.conversion import events_from_video
    from dvspipe.video.frames import frames_from_arrays
    from dvspipe.video.writing import write_video

    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "clips" / name).mkdir(parents=True)
        for number in range(3):
            images = [rng.integers(0, 255, (32, 48), dtype=np.uint8) for _ in range(4)]
            write_video(tmp_path / "clips" / name / f"{number}.webm", frames_from_arrays(images, fps=30))
    config = DataConfig(root=tmp_path / "clips", cache=tmp_path / "cache")
    data = open_dataset(config)
    assert data.sensor == SensorSize(width=48, height=32)
    sample = data.train[0]
    expected = events_from_video(sample.name)
    assert sample.load() == expected
    monkeypatch.setattr(source, "events_from_video", None)
    assert sample.load() == expected
    monkeypatch.undo()
    again = open_dataset(config.model_copy(update={"pos_thres": 0.4, "cache": "none"})).train[0]
    assert again.version() != sample.version()
    assert again.load() == events_from_video(sample.name, FilmConfig(pos_thres=0.4))

    # What lies in a file of frame times counts, not its name.
    times = tmp_path / "times.txt"
    timed = config.model_copy(update={"timestamps": times})
    for interval_s in (0.001, 0.005):
        times.write_text("".join(f"{number * interval_s}\n" for number in range(4)))
        events = open_dataset(timed).train[0].load()
        assert events.t[-1] - events.t[0] > 2 * interval_s * 1e6
        assert events.t[-1] <= 3 * interval_s * 1e6


def test_videos_have_the_noise_of_their_conversion(tmp_path: Path) -> None:
    from dvspipe.recordings.config import ConvertConfig
    from dvspipe.recordings.conversion import convert_many, plan_conversions
    from dvspipe.video.frames import frames_from_arrays
    from dvspipe.video.writing import write_video

    still = [np.full((32, 48), 90, np.uint8)] * 6
    for name in ("clips/a/jump", "clips/a/wave", "clips/b/bow", "clips/b/clap", "more/a/jump", "more/b/bow"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / f"{name}.webm", frames_from_arrays(still, fps=30))
    noisy = ConvertConfig(shot_noise_rate_hz=20)
    tasks = plan_conversions(tmp_path / "clips", tmp_path / "converted")
    assert all(outcome.error is None for outcome in convert_many(tasks, noisy))

    for cache in ("none", tmp_path / "cache"):
        folders = {"root": tmp_path / "clips", "test_root": tmp_path / "more", "cache": cache}
        config = DataConfig(**folders, validation=0.5, shot_noise_rate_hz=20)
        data = open_dataset(config)
        loaded = {sample.file: sample.load() for sample in data.samples}
        assert len({events.t.tobytes() for events in loaded.values()}) == len(loaded) == 6
        for task in tasks:
            assert loaded[task.source] == read(task.target)


def test_data_set_hints_apply_to_its_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.csv").write_text(f"1,2,{number % 2},5\n3,1,0,9\n")
    with raises(DataError, "columns"):
        open_dataset(DataConfig(root=tmp_path, sensor="12x7")).train[0].read_content()
    data = DataConfig(root=tmp_path, columns="xypt", sensor="12x7")
    events = open_dataset(data).train[0].read_content()
    assert isinstance(events, Events)
    assert events.t.tolist() == [5, 9]


def test_windows_cover_the_recording_and_stay_in_one_part(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            write(tmp_path / name / f"{number}.h5", random_events(number, 500, span_us=380_000))
    (tmp_path / ".notebooks").mkdir()  # hidden, no class
    data = open_dataset(DataConfig(root=tmp_path, window_us=100000))
    again = open_dataset(DataConfig(root=tmp_path, window_us=100000))
    assert [sample.name for sample in data.samples] == [sample.name for sample in again.samples]
    counts: dict[Path | None, int] = {}
    for sample in data.samples:
        events = sample.read_content()
        assert isinstance(events, Events)
        assert 0 < events.duration_us < 100_000
        counts[sample.file] = counts.get(sample.file, 0) + len(events)
    assert set(counts.values()) == {500}  # the last half window is kept
    files = [{sample.file for sample in part} for part in data.parts.values()]
    assert sum(map(len, files)) == len(set.union(*files)) == 6


def test_long_labels_are_cut_into_windows_that_end_with_the_label(tmp_path: Path) -> None:
    spans = {"a": (0, 270_000), "b": (270_000, 320_000)}
    rows = "".join(f"{name},{start_us},{end_us}\n" for name, (start_us, end_us) in spans.items())
    for number in range(3):
        write(tmp_path / f"{number}.h5", random_events(number, 500, span_us=380_000))
        (tmp_path / f"{number}_labels.csv").write_text(f"class,start_us,end_us\n{rows}")
    data = open_dataset(DataConfig(data="labelled", root=tmp_path, window_us=100000))
    assert sorted(data.classes[sample.label] for sample in data.samples) == ["a"] * 9 + ["b"] * 3
    for sample in data.samples:
        start_us, end_us = spans[data.classes[sample.label]]
        events = sample.read_content()
        assert isinstance(events, Events)
        assert start_us <= events.t[0] <= events.t[-1] < end_us
        assert 0 < events.duration_us <= 100_000


def test_recordings_below_class_folders_give_a_warning(tmp_path: Path) -> None:
    save_folder(tmp_path)
    assert open_dataset(DataConfig(root=tmp_path)).warnings == ()
    for name in ("a/old/deep/1.h5", "a/old/2.h5", "a/.hidden/3.h5"):
        write(tmp_path / name, random_events(0, 20))
    data = open_dataset(DataConfig(root=tmp_path))
    (warning,) = data.warnings
    assert mentions(warning, "2 recordings", tmp_path / "a" / "old")
    assert warning in survey(data).problems


def test_video_beside_its_recording_is_not_a_second_sample(tmp_path: Path) -> None:
    for name in ("left", "right"):
        for number in range(4):
            write(tmp_path / name / f"{number}.h5", random_events(number, 50))
            (tmp_path / name / f"{number}.webm").write_bytes(b"the video that it was made of")
    data = open_dataset(DataConfig(root=tmp_path, cache="none"))
    assert {Path(sample.name).suffix for sample in data.samples} == {".h5"}
    assert len(data.samples) == 8


def test_moved_test_folder_stays_the_test_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_folder(tmp_path / "data" / "train")
    save_folder(tmp_path / "data" / "test", people=1, seed=1000)
    monkeypatch.chdir(tmp_path)
    data = open_dataset(DataConfig(root=Path("data"), seed=3))
    tested = {Path(sample.name).relative_to("data") for sample in data.test}
    assert tested == {Path("test", name, f"user00_{clip}.h5") for name in "ab" for clip in range(2)}

    Split.of(data).write(tmp_path / "split.json")
    (tmp_path / "data").rename(tmp_path / "moved")
    restored = restore_split(tmp_path / "split.json", open_dataset(DataConfig(root=tmp_path / "moved")))
    assert restored is not None
    assert {sample.name for sample in restored.test} == {str(tmp_path / "moved" / name) for name in tested}
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
    assert (data.inputs, data.sensor) == (code.channels, SensorSize(width=28, height=28))
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
