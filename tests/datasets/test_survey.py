from __future__ import annotations

import csv
from pathlib import Path

import pytest
from commands import dvspipe
from conftest import SENSOR, random_events
from facts import mentions

from dvspipe.datasets import DataConfig, open_dataset
from dvspipe.datasets.survey import survey
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write
from dvspipe.training import choose_settings


def test_survey_lists_problems(tmp_path: Path) -> None:
    for name in ("a/0", "a/1", "a/2", "b/0", "b/1", "b/2"):
        write(tmp_path / f"{name}.h5", random_events(len(list(tmp_path.rglob("*"))), 100))
    config = DataConfig(root=tmp_path)
    assert survey(open_dataset(config)).problems == ()

    (tmp_path / "a" / "0.h5").write_bytes(b"nonsense")
    write(tmp_path / "a" / "1.h5", Events.empty(SENSOR), overwrite=True)
    write(tmp_path / "b" / "0.h5", random_events(0, 9, SensorSize(width=40, height=7)), overwrite=True)
    (tmp_path / "b" / "1.h5").write_bytes((tmp_path / "b" / "2.h5").read_bytes())
    calls: list[tuple[int, int]] = []
    found = survey(open_dataset(config), lambda *done: calls.append(done))
    assert [*dict.fromkeys(calls)] == [(number, 6) for number in range(7)]
    assert survey(open_dataset(config), jobs=2) == found
    assert len(found.problems) == 4
    assert mentions("\n".join(found.problems), "a/0.h5: ", "a/1.h5: ", "b/0.h5", "40x7", "12x7", "same")


def test_rows_of_each_class_have_the_parts_of_training(tmp_path: Path) -> None:
    """`train` finds the people in the names, and holds out more of few recordings."""
    for label, name in enumerate(("a_b", "c")):
        for number in range(12):
            path = tmp_path / "in" / name / f"user{number // 2:02}_{number % 2}.h5"
            write(path, random_events(100 * label + number, 100 + number))
    dvspipe("data", "stats", "in", "cache=none", "-o", "stats.csv", cwd=tmp_path)
    with (tmp_path / "stats.csv").open(newline="") as file:
        rows = {(row.pop("class"), row.pop("part")): row for row in csv.DictReader(file)}
    assert len(rows) == 12  # 2 classes and their sum, 3 parts and their sum

    config = choose_settings(tmp_path / "in")
    data = open_dataset(config, config)
    for part, samples in {**data.parts, "all": data.samples}.items():
        row = rows["all", part]
        assert row["recordings"] == str(len(samples))
        assert row["groups"] == str(len({one.group for one in samples}))
        assert float(row["rate_hz"]) == pytest.approx(float(row["events"]) / float(row["seconds"]))
    assert rows["all", "all"]["events"] == str(2 * sum(range(100, 112)))
    for column in ("recordings", "events", "seconds"):
        counted = [float(row[column]) for key, row in rows.items() if "all" not in key]
        assert sum(counted) == pytest.approx(float(rows["all", "all"][column]))
    assert ".xls" in dvspipe("data", "stats", "in", "-o", "stats.xls", cwd=tmp_path, code=2).stderr
