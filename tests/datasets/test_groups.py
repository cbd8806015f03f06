"""Groups of recordings by their names, and the division of groups in time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from conftest import SENSOR, random_events
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.datasets import DataConfig, open_dataset
from dvspipe.datasets.samples import Sample
from dvspipe.datasets.source import DataSource
from dvspipe.datasets.split import Split, draw_missing, restore_split
from dvspipe.encoding import BinConfig
from dvspipe.events import Events
from dvspipe.formats import write


def write_recording(path: Path, begin_us: int, seed: int) -> Path:
    events = random_events(seed, 50)
    write(path, Events(events.t + begin_us, events.x, events.y, events.p, SENSOR))
    return path


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("anna_01", "anna"),
        ("b-2", "b"),
        ("c 3", "c"),
        ("d (12)", "d"),
        ("v_box_g03_c02", "v_box_g03"),
        ("00001", "00001.h5"),
        ("e1", "e1.h5"),
        ("user1_led", "user1_led.h5"),
    ],
)
def test_group_is_the_name_before_the_last_number(name: str, group: str) -> None:
    source = DataSource(DataConfig(root=Path("data")), BinConfig(), None)
    assert source.group_of(Path("data", "wave", f"{name}.h5")) == str(Path("data", "wave", group))


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3), share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_drawn_part_has_its_share_of_each_class_and_leaves_one_group(sizes: list[int], share: float, seed: int) -> None:
    names = [(label, f"{label} {number}") for label, size in enumerate((3, *sizes)) for number in range(size)]
    samples = [Sample(name, label, name, lambda: Events.empty(SENSOR), str) for label, name in names]
    config = DataConfig(test=share, validation=0.0, seed=seed)
    parts = draw_missing({"train": samples, "validation": (), "test": ()}, config)
    assert sorted(map(str, (*parts["train"], *parts["test"]))) == sorted(map(str, samples))
    held_out = Counter(sample.label for sample in parts["test"])
    assert held_out == {k: min(max(1, round(share * n)), n - 1) for k, n in enumerate((3, *sizes)) if n > 1}


def test_single_film_of_a_class_is_divided_in_time(tmp_path: Path) -> None:
    pieces = [f"clip_{number:02}" for number in range(6, 14)]
    for label in range(2):
        for number, piece in enumerate(pieces):
            write_recording(tmp_path / f"class{label}" / f"{piece}.h5", 100_000 * (20 * label + number), number)
    data = open_dataset(DataConfig(root=tmp_path, validation=0.2))
    assert data.in_time == data.classes
    stems = [{sample.file.stem for sample in samples if sample.file} for samples in data.parts.values()]
    assert stems == [set(pieces[:5]), {pieces[5]}, set(pieces[6:])]

    Split.of(data).write(tmp_path / "split.json")
    opened = open_dataset(DataConfig(root=tmp_path).model_copy(update={"validation": 0.0, "test": 0.0}))
    restored = restore_split(tmp_path / "split.json", opened)
    assert restored is not None
    assert [*map(str, restored.test)] == [*map(str, data.test)]


def test_windows_of_a_single_recording_are_divided_in_time(tmp_path: Path) -> None:
    for label in range(2):
        write_recording(tmp_path / f"class{label}" / "a.h5", 0, label)
    config = DataConfig(root=tmp_path, window_us=10000)
    data = open_dataset(config)
    assert len(data.train) > len(data.test) >= len(data.validation) == 2
    assert {sample.label for sample in open_dataset(config.model_copy(update={"validation": 0.0})).test} == {0, 1}
    Split.of(data).write(tmp_path / "split.json")
    again = open_dataset(config.model_copy(update={"split": tmp_path / "split.json"}))
    assert [*map(str, again.test)] == [*map(str, data.test)]
