"""Published splits: parts of a folder as splits.csv lists them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import dvspipe
from conftest import random_events
from facts import mentions, raises, warnings_of

from dvspipe import evaluate
from dvspipe.base.errors import DataError
from dvspipe.datasets import DataConfig, DataSet, open_dataset
from dvspipe.formats import write
from dvspipe.results import SplitRow, read_splits, write_splits
from dvspipe.training import TrainConfig, choose_settings

GROUPS = ("g01", "g02", "g03", "g04", "g05", "g06")
TESTED = {1: ("g01", "g02"), 2: ("g03", "g04")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of twelve recordings with two splits; g06 is in none of them."""
    root = tmp_path_factory.mktemp("listed")
    rows = []
    for label, name in enumerate(("clap", "wave")):
        for number, group in enumerate(GROUPS):
            file = f"{name}/v_{name}_{group}_c01.h5"
            write(root / file, random_events(10 * label + number, 300 * (1 + label)))
            rows += [
                SplitRow(
                    split=split, file=file, class_name=name, part="test" if group in tested else "train", group=group
                )
                for split, tested in TESTED.items()
                if group != "g06"
            ]
    write_splits(root, rows)
    return root


def groups_of(data: DataSet) -> Mapping[str, set[str]]:
    return {part: {sample.group for sample in samples} for part, samples in data.parts.items()}


@pytest.mark.parametrize(("split", "number"), [(None, 1), (1, 1), (2, 2)])
def test_published_split_divides_a_folder(folder: Path, split: int | None, number: int) -> None:
    data = open_dataset(DataConfig(root=folder, split=split))
    groups = groups_of(data)
    assert data.split == number
    assert data.fixed_test
    assert groups["test"] == set(TESTED[number])
    assert not groups["train"] & groups["validation"]
    assert groups["train"] | groups["validation"] == {*GROUPS} - {*TESTED[number], "g06"}
    assert {sample.label for sample in data.validation} == {0, 1}


def copy_with(folder: Path, root: Path, **changes: dict[str, str]) -> DataSet:
    """Open a copy of the first split in which the rows of groups have other values."""
    shutil.copytree(folder, root)
    rows = read_splits(root).of(1)
    write_splits(root, [row.model_copy(update=changes.get(row.group, {})) for row in rows])
    return open_dataset(root)


def test_validation_rows_are_the_validation_part(folder: Path, tmp_path: Path) -> None:
    assert groups_of(copy_with(folder, tmp_path / "a", g03={"part": "validation"}))["validation"] == {"g03"}


def test_group_in_two_published_parts_is_a_warning(folder: Path, tmp_path: Path) -> None:
    unlisted, warning = copy_with(folder, tmp_path / "a", g01={"group": "g04"}).warnings
    assert mentions(unlisted, "2 files", "v_clap_g06_c01.h5")
    assert mentions(warning, "split 1", "1 of 2 test groups", "g04")


def test_unknown_and_missing_splits_are_errors(folder: Path, tmp_path: Path) -> None:
    with raises(DataError, "splits.csv", "split 3", "1, 2"):
        open_dataset(DataConfig(root=folder, split=3))
    for name in ("a", "b"):
        write(tmp_path / name / "1.h5", random_events(0, 10))
    with raises(DataError, str(tmp_path), "splits.csv", "split"):
        open_dataset(DataConfig(root=tmp_path, split=1))


def test_missing_recordings_are_a_problem(tmp_path: Path) -> None:
    rows = [SplitRow(split=1, file=f"a/{number}.h5", class_name="a", part="train") for number in range(1, 7)]
    write_splits(tmp_path, rows)
    for number in range(1, 5):
        write(tmp_path / "a" / f"{number}.h5", random_events(number, 10))
    with raises(DataError, "splits.csv", "2 of 6 recordings", "a/5.h5"):
        open_dataset(DataConfig(root=tmp_path))


def test_choice_keeps_the_published_groups(folder: Path) -> None:
    config = choose_settings(folder, TrainConfig(split=2, epochs=1))
    assert config.split == 2
    assert "group" not in config.given


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "split-2"
    dvspipe("train", folder, "split=2", "epochs=1", "views=1", "channels=[2]", "steps=3", "jobs=1", "-o", out)
    return out


def test_evaluation_uses_the_split_of_the_run(run: Path, folder: Path) -> None:
    tested = evaluate(run, folder)
    assert {prediction.name.split("_")[-2] for prediction in tested.predictions} == set(TESTED[2])


def test_evaluation_on_another_split_warns_of_trained_recordings(
    run: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(run, DataConfig(root=folder, split=1))
    assert any(mentions(warning, "training part", "split-2") for warning in warnings_of(caplog))
