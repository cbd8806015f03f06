"""Records and rows on disk: round trips, and errors for invalid content."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from conftest import limit_files
from facts import raises
from hypothesis import given
from hypothesis import strategies as st
from records import make_layer

from dvspipe.base.errors import FileError, FormatError
from dvspipe.results import (
    EpochRow,
    RunFolder,
    SegmentRow,
    Share,
    find_best,
    read_rows,
    write_rows,
)


@pytest.mark.parametrize("start", "=+-@\t")
def test_text_in_csv_files_is_no_formula_and_has_no_control_characters(tmp_path: Path, start: str) -> None:
    named = SegmentRow(t_start_us=-5, t_end_us=5, label=0, class_name=f"{start}1\x1b[2J", probability=-0.5)
    write_rows([named], SegmentRow, tmp_path / "a.jsonl")
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines())
    assert (row["t_start_us"], row["class"], row["probability"]) == ("-5", f"'{start}1\\x1b[2J", "-0.5")
    assert read_rows(tmp_path / "a.jsonl", SegmentRow) == (named,)


shares = st.floats(0, 1)
losses = st.floats(0, 1e30) | st.just(float("inf"))
epochs = st.builds(
    EpochRow,
    epoch=st.integers(1, 10**6),
    train_loss=losses,
    train_accuracy=shares,
    val_loss=losses,
    val_accuracy=shares,
    learning_rate=st.floats(0, 10),
    seconds=st.floats(0, 1e6),
    rates=st.just({"lif1": 0.25, "lif2": 1 / 3}),
)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=5))
def test_best_epoch_has_the_highest_accuracy_then_the_lowest_loss_then_comes_first(
    results: list[tuple[int, int]],
) -> None:
    other = {"train_loss": 0.0, "train_accuracy": 0.0, "learning_rate": 0.0, "seconds": 0.0, "rates": {}}
    rows = [
        EpochRow.model_validate(other | {"epoch": n + 1, "val_accuracy": accuracy / 2, "val_loss": loss})
        for n, (accuracy, loss) in enumerate(results)
    ]
    assert find_best(rows) is rows[min(range(len(rows)), key=lambda n: (-results[n][0], results[n][1], n))]


@given(st.lists(epochs, min_size=1, max_size=4))
def test_rows_survive_a_round_trip(tmp_path: Path, rows: list[EpochRow]) -> None:
    jsonl, table = tmp_path / "a.jsonl", tmp_path / "a.csv"
    write_rows(rows, EpochRow, jsonl, table)
    assert read_rows(jsonl, EpochRow) == tuple(rows)
    cells = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert list(cells[0]) == [*EpochRow.columns, "rate_lif1", "rate_lif2"]
    assert [int(row["epoch"]) for row in cells] == [row.epoch for row in rows]
    assert [float(row["train_loss"]) for row in cells] == pytest.approx([row.train_loss for row in rows], rel=1e-8)


def test_invalid_record_is_an_error_and_not_found(tmp_path: Path) -> None:
    path = tmp_path / "joints.json"
    with raises(FileError, "joints.json"):
        Share.read(path)
    record = Share(samples=4, correct=2)
    record.write(path)
    assert Share.read(path) == Share.find(path) == record
    for content in ("", "[]", "{", '{"correct": 5}', "\xff"):
        path.write_text(content, encoding="latin-1")
        assert Share.find(path) is None
        with raises(FormatError, "joints.json", "Share"):
            Share.read(path)


def test_full_disk_keeps_the_previous_record(tmp_path: Path) -> None:
    path, record = tmp_path / "a.json", Share(samples=4, correct=2)
    record.write(path)
    with raises(FileError, "a.json"), limit_files(5):
        record.model_copy(update={"correct": 3}).write(path)
    assert Share.read(path) == record
    assert list(tmp_path.iterdir()) == [path]


def test_new_run_removes_results_of_the_previous_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    results, epochs = (folder.test, folder.report), (folder.epochs, folder.best, folder.state)
    for path in (*results, *epochs, folder.config):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder.clear(keep_epochs=True)
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*epochs, folder.config}
    folder.clear(keep_epochs=False)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {folder.config}


def test_operations_are_spikes_times_fan_out_and_cost_energy() -> None:
    layer = make_layer(connections=60, fan_out=4.0, steps=40, spikes_in=10)
    assert (layer.operations, layer.dense_operations) == (40, 2400)
    assert layer.energy_pj == pytest.approx(40 * 0.9)  # additions, Horowitz 2014
    assert layer.dense_energy_pj == pytest.approx(2400 * 4.6)
    assert layer.model_copy(update={"multiplies": True}).energy_pj == pytest.approx(40 * 4.6)
