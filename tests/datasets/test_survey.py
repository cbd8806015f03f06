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
    for label, name in enumerate(("a", "b")):
        for number in range(6):
            write(tmp_path / name / f"{number}.h5", random_events(10 * label + number, 100 + number))
    config = DataConfig(root=tmp_path)
    assert survey(open_dataset(config)).problems == ()

    (tmp_path / "a" / "0.h5").write_bytes(b"nonsense")
    write(tmp_path / "a" / "1.h5", Events.empty(SENSOR), overwrite=True)
    write(tmp_path / "b" / "2.h5", random_events(0, 9, SensorSize(width=40, height=7)), overwrite=True)
    (tmp_path / "b" / "4.h5").write_bytes((tmp_path / "b" / "3.h5").read_bytes())
    calls: list[tuple[int, int]] = []
    found = survey(open_dataset(config), lambda *done: calls.append(done))
    assert [*dict.fromkeys(calls)] == [(number, 12) for number in range(13)]
    assert survey(open_dataset(config), jobs=2) == found
    lines = "\n".join(sorted(found.problems))
    assert len(found.problems) == 4
    assert mentions(lines, "a/0.h5: ", "a/1.h5: ", "b/2.h5", "40x7", "12x7", "same")


def test_rows_of_each_class_have_the_parts_of_training(tmp_path: Path) -> None:
    """`train` finds the people in the names, and holds out more of few recordings."""
    for label, name in enumerate(("a_b", "c")):
        for number in range(12):
            path = tmp_path / "in" / name / f"user{number // 2:02}_{number % 2}.h5"
            write(path, random_events(100 * label + number, 100 + number))
    dvspipe("data", "stats", "in", "cache=none", "-o", "stats.csv", cwd=tmp_path)
    with (tmp_path / "stats.csv").open(newline="") as file:
        rows = {(row["class"], row["part"]): row for row in csv.DictReader(file)}
    assert len(rows) == 12  # 2 classes and their sum, 3 parts and their sum

    config = choose_settings(tmp_path / "in")
    data = open_dataset(config, config)
    parts = {**data.parts, "all": data.samples}
    assert [len(samples) for samples in parts.values()] == [16, 4, 4, 24]
    for part, samples in parts.items():
        counts = rows["all", part]["recordings"], rows["all", part]["groups"]
        assert counts == (str(len(samples)), str(len({one.group for one in samples})))

    everything = rows["all", "all"]
    assert everything["events"] == str(2 * sum(range(100, 112)))
    for column in ("recordings", "events", "seconds"):
        counted = [float(row[column]) for key, row in rows.items() if "all" not in key]
        assert sum(counted) == pytest.approx(float(everything[column]))
    assert float(everything["rate_hz"]) == pytest.approx(float(everything["events"]) / float(everything["seconds"]))
    refused = dvspipe("data", "stats", "in", "-o", "stats.xls", cwd=tmp_path, code=2)
    assert ".xls" in refused.stderr
