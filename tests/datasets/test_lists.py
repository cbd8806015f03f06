"""Published lists: a CSV file, matched with videos and converted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from facts import mentions, raises

from dvspipe.base.errors import DataError, FileError
from dvspipe.base.pool import Shard
from dvspipe.datasets.lists import ListedConversions, plan_listed, read_list
from dvspipe.formats import read
from dvspipe.recordings.config import ConvertConfig
from dvspipe.recordings.conversion import convert_many
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

HEADER = "file,class,part,group,start_s,stop_s,split\n"


def plan(tmp_path: Path, rows: str, names: Sequence[str], shard: Shard = Shard(1, 1)) -> ListedConversions:
    """Plan the conversion of empty files with the names of videos; plans do not read them."""
    for name in names:
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    (tmp_path / "list.csv").write_text(HEADER + rows)
    return plan_listed(tmp_path / "videos", tmp_path / "out", read_list(tmp_path / "list.csv"), shard=shard)


def test_clips_of_a_film_stay_together_and_splits_share_a_recording(tmp_path: Path) -> None:
    rows = (
        "p1/a.mp4,wave,train,,0,1.5,\np1/a.mp4,clap,train,,1.5,,\n"
        "wave/b.mp4,wave,test,anna,,,1\nwave/b.mp4,wave,train,,,,2\n"
    )
    planned = plan(tmp_path, rows, ["p1/a.mp4", "wave/b.mp4"])
    assert [(row.split, row.file, row.part, row.group) for row in planned.rows] == [
        (1, "wave/p1_a_000000_0001.5.h5", "train", "p1/a.mp4"),
        (1, "clap/p1_a_0001.5.h5", "train", "p1/a.mp4"),
        (1, "wave/b.h5", "test", "anna"),
        (2, "wave/b.h5", "train", ""),
    ]
    assert [task.target.relative_to(tmp_path / "out").as_posix() for task in planned.tasks] == list(
        dict.fromkeys(row.file for row in planned.rows)
    )
    assert planned.notes == ()


def test_missing_and_unlisted_videos_are_one_line_each(tmp_path: Path) -> None:
    planned = plan(tmp_path, "a.mp4,wave,train,,,,\nc.mp4,clap,test,,,,\n", ["a.mp4", "b.mp4"])
    missing, unlisted = planned.notes
    assert mentions(missing, "missing", 1, "c.mp4")
    assert mentions(unlisted, "not in the list", 1, "b.mp4")
    with raises(DataError, "missing", "c.mp4"):
        plan(tmp_path, "c.mp4,clap,test,,,,\n", [])


def test_shards_divide_the_clips_and_share_the_splits(tmp_path: Path) -> None:
    names = [f"{number}.mp4" for number in range(8)]
    rows = "".join(f"{name},wave,train,,,,\n" for name in names)
    shares = [plan(tmp_path, rows, names, Shard(number, 2)) for number in (1, 2)]
    targets = [{task.target for task in share.tasks} for share in shares]
    assert not targets[0] & targets[1]
    assert len(targets[0] | targets[1]) == 8
    assert shares[0].rows == shares[1].rows


@pytest.mark.parametrize("again", ["a.mp4,wave,test,,,,", "a.avi,wave,train,,,,", "a.mp4,wave,train,bob,,,"])
def test_recording_twice_in_a_split_is_an_error(tmp_path: Path, again: str) -> None:
    with raises(DataError, "listed twice", "wave/a.h5"):
        plan(tmp_path, f"a.mp4,wave,train,,,,\n{again}\n", ["a.mp4", "a.avi"])


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("file,part\n", ["list.csv", "no column class"]),
        (f"{HEADER}a.mp4,wave,trial,,,,\n", ["list.csv: line 2", "part"]),
        (f"{HEADER}a.mp4,wave,train,,5,4,\n", ["list.csv: line 2", 5, 4]),
        (f"{HEADER}a.mp4,wave,train,,5,inf,\n", ["list.csv: line 2", "inf"]),
        (f"{HEADER}a.mp4,wave,train,,1e300,,\n", ["list.csv: line 2", "1e+300"]),
        (f"{HEADER},wave,train,,,,\n", ["list.csv: line 2", "file"]),
    ],
)
def test_wrong_lists_are_refused(tmp_path: Path, text: str, facts: list[object]) -> None:
    (tmp_path / "list.csv").write_text(text)
    with raises(DataError, *facts):
        read_list(tmp_path / "list.csv")
    with raises(FileError, "none.csv"):
        read_list(tmp_path / "none.csv")


def test_clips_of_one_film_are_converted_with_their_own_noise(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.webm", [Frame(40_000 * k, np.full((7, 12), 40, np.uint8)) for k in range(20)])
    (tmp_path / "list.csv").write_text(f"{HEADER}a.webm,wave,train,,0,0.4,\na.webm,wave,test,,0.4,0.8,\n")
    planned = plan_listed(tmp_path / "videos", tmp_path / "out", read_list(tmp_path / "list.csv"))

    config = ConvertConfig(shot_noise_rate_hz=50)
    done = {str(outcome.item.span): outcome.result() for outcome in convert_many(planned.tasks, config)}
    first, second = done["000000_0000.4"], done["0000.4_0000.8"]
    assert (first.frames, second.frames) == (10, 10)
    assert read(first.path).shift_time(400_000) != read(second.path)
    assert read(second.path).t[0] >= 400_000
    assert not list(convert_many(planned.tasks, config))  # both are complete
