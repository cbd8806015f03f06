"""splits.csv: round trips, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import DataError, FileError
from dvspipe.results import PARTS, SPLITS, SplitRow, find_splits, read_splits, write_splits

HEADER = "split,file,class,part,group\n"
names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1).filter(
    lambda name: ".." not in name
)
rows = st.builds(
    SplitRow,
    split=st.integers(1, 3),
    file=names.map(lambda name: f"wave/{name}.h5"),
    class_name=st.just("wave"),
    part=st.sampled_from(PARTS),
    group=st.sampled_from(["", "g01", "=1+1", 'a "film", cut']),
)


@given(st.lists(rows, min_size=1, max_size=5, unique_by=lambda row: (row.split, row.file)))
def test_splits_survive_a_round_trip(tmp_path: Path, table: list[SplitRow]) -> None:
    write_splits(tmp_path, table)
    splits = read_splits(tmp_path)
    assert splits.rows == tuple(sorted(table, key=lambda row: (row.split, row.file)))
    assert splits.classes == ("wave",)
    assert [row for number in splits.numbers for row in splits.of(number)] == list(splits.rows)


def test_folder_without_splits_has_none(tmp_path: Path) -> None:
    assert find_splits(tmp_path) is None
    with raises(FileError, str(tmp_path / SPLITS)):
        read_splits(tmp_path)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ("", ["no column split"]),
        ("split,file,class,part\n", ["no column group", "split,file,class,part"]),
        (HEADER, ["lists no recordings"]),
        (f"{HEADER}1,a/1.h5,a,train,\n1,a/2.h5,a,trial,\n", ["line 3", "part"]),
        (f"{HEADER}0,a/1.h5,a,train,\n", ["line 2", "split"]),
        (f"{HEADER}1,../1.h5,a,train,\n", ["line 2", "file"]),
        (f"{HEADER}1,/etc/1.h5,a,train,\n", ["line 2", "file"]),
        (f"{HEADER}1,a/1.h5,a\n", ["line 2", "part"]),
        (f"{HEADER}1,a/1.h5,a,train,\n1,a/1.h5,a,test,\n", ["a/1.h5", "twice", "split 1"]),
        (f"{HEADER}1,a/1.h5,a,train,\n2,a/1.h5,b,test,\n", ["a/1.h5", "2 classes"]),
    ],
)
def test_wrong_tables_are_refused(tmp_path: Path, content: str, facts: list[str]) -> None:
    (tmp_path / SPLITS).write_text(content)
    with raises(DataError, SPLITS, *facts):
        read_splits(tmp_path)


def test_unknown_split_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / SPLITS).write_text(f"{HEADER}1,a/1.h5,a,train,\n3,a/1.h5,a,test,\n")
    with raises(DataError, "split 2", "expected 1, 3"):
        read_splits(tmp_path).of(2)
