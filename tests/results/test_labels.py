from __future__ import annotations

import logging
from pathlib import Path

import pytest
from conftest import random_events
from facts import mentions, raises

from dvspipe.base.errors import DataError, FileError
from dvspipe.datasets import LabelledConfig, open_dataset
from dvspipe.formats import write
from dvspipe.results.labels import LabelRow, read_labels


def label(start_us: int, end_us: int, name: str) -> LabelRow:
    return LabelRow(t_start_us=start_us, t_end_us=end_us, class_name=name)


def labels_in(folder: Path, text: str) -> tuple[LabelRow, ...]:
    (folder / "a_labels.csv").write_text(text, encoding="utf-8")
    return read_labels(folder / "a_labels.csv")


def test_ibm_and_other_column_names_are_read(tmp_path: Path) -> None:
    labels = (label(1_000_000, 2_500_000, "1"), label(3_000_000, 4_000_000, "2"))
    for text in (
        "class,startTime_usec,endTime_usec\n1,1000000,2500000\n2,3000000,4000000\n",
        "\ufeffclass,startTime_usec,endTime_usec\r\n1,1000000,2500000\r\n\r\n2,3000000,4000000",
        "start_s,stop_s,label\n3,4,2\n1.0,2.5,1\n",
        "end_ms,who,start_ms,class\n2500,me,1000,1\n4e3,me,3e3,2\n",
    ):
        assert labels_in(tmp_path, text) == labels


def test_overlapping_segment_is_truncated_with_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        labels = labels_in(tmp_path, "class,start_us,end_us\n9,100,900\n10,700,1000\n")
    assert labels == (label(100, 700, "9"), label(700, 1000, "10"))
    assert mentions(caplog.text, "a_labels.csv", "class 9", "900 us", "class 10", "700 us")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "class,start_us,end_us"),
        ("class,start,end\n1,2,3\n", ("class,start,end", "class,start_us,end_us")),
        ("start_us,end_us\n1,2\n", "start_us,end_us"),
        ("class,start_us,end_us\n1,2\n", ("line 2", "1,2,")),
        ("class,start_us,end_us\n1,2,x\n", ("line 2", "1,2,x")),
        ("class,start_us,end_us\n1,2,nan\n", ("line 2", "1,2,nan")),
        ("class,start_us,end_us\n1,5,5\n", ("line 2", "1,5,5")),
        ("class,start_us,end_us\n1,5,99999999999999999999\n", ("line 2", "99999999999999999999")),
        ("class,start_us,end_us\n,5,6\n", ("line 2", ",5,6")),
        ("class,start_us,end_us\n1,5,9\n2,5,7\n", ("2", "1", "5 us")),
    ],
)
def test_wrong_line_is_reported(tmp_path: Path, text: str, message: object) -> None:
    with raises(DataError, message):
        labels_in(tmp_path, text)


def test_missing_and_binary_label_files_are_rejected(tmp_path: Path) -> None:
    with raises(FileError, "nowhere.csv"):
        read_labels(tmp_path / "nowhere.csv")
    (tmp_path / "a_labels.csv").write_bytes(b"\xff\xfe\x00")
    with raises(DataError, "CSV"):
        read_labels(tmp_path / "a_labels.csv")


def save_labelled(folder: Path, people: int = 6) -> None:
    folder.mkdir(exist_ok=True)
    for person in range(people):
        write(folder / f"user{person}_x.h5", random_events(person, 300, span_us=90_000), overwrite=True)
        text = "class,start_us,end_us\nwave,1000,30000\nclap,30000,60000\nwave,60000,80000\n"
        (folder / f"user{person}_x_labels.csv").write_text(text)


def test_labelled_spans_are_samples(tmp_path: Path) -> None:
    save_labelled(tmp_path / "data")
    data = open_dataset(LabelledConfig(root=tmp_path / "data", group=r"^user\d+"), seed=0)
    assert data.classes == ("clap", "wave")
    everything = [*data.train, *data.validation, *data.test]
    assert len(everything) == 18
    groups = [{sample.group for sample in part} for part in data.parts.values()]
    assert sum(map(len, groups)) == 6
    for sample in everything:
        person, start = int(sample.group[4:]), int(sample.name.partition("@")[2].partition("-")[0])
        stop = {1000: 30_000, 30_000: 60_000, 60_000: 80_000}[start]
        assert sample.load() == random_events(person, 300, span_us=90_000).slice_time(start, stop)
        assert data.classes[sample.label] == ("clap" if start == 30_000 else "wave")
    assert len({sample.version() for sample in everything}) == 18


def test_missing_files_and_classes_of_labels_are_reported(tmp_path: Path) -> None:
    save_labelled(tmp_path / "data")
    config = LabelledConfig(root=tmp_path / "data")
    (tmp_path / "data" / "user0_x.csv").write_text("t,x,y,p\n1,1,1,1\n")
    with raises(DataError, "user0_x_labels.csv", "user0_x.csv", "user0_x.h5", "user0_x.SUFFIX"):
        open_dataset(config, seed=0)
    (tmp_path / "data" / "user0_x.csv").unlink()
    (tmp_path / "data" / "user0_x.h5").unlink()
    with raises(DataError, "user0_x_labels.csv"):
        open_dataset(config, seed=0)
    (tmp_path / "empty").mkdir()
    with raises(DataError, "empty", "labels"):
        open_dataset(LabelledConfig(root=tmp_path / "empty"), seed=0)
    save_labelled(tmp_path / "other")
    (tmp_path / "other" / "user0_x_labels.csv").write_text("class,start_us,end_us\njump,1,9\n")
    with raises(DataError, "jump", "clap", "wave"):
        save_labelled(tmp_path / "data")
        open_dataset(config.model_copy(update={"test_root": tmp_path / "other"}), seed=0)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
def test_endless_label_file_is_rejected() -> None:
    with raises(FileError, "/dev/zero", "16,777,216"):
        read_labels(Path("/dev/zero"))
