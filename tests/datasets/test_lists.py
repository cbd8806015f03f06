"""Published lists: UCF101, HMDB51, Kinetics and own CSV files, matched with videos and converted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from facts import mentions, raises

from dvspipe.base.errors import DataError, FileError, FormatError
from dvspipe.base.pool import Shard
from dvspipe.datasets.lists import ListedConversions, plan_listed, read_lists
from dvspipe.formats import open_recording
from dvspipe.recordings.config import ConvertConfig
from dvspipe.recordings.conversion import ConversionTask, FilmSpan, convert_many, convert_task
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

FPS = 25
UCF = {
    "classInd.txt": "1 Archery\r\n2 HandstandPushups\r\n",
    "trainlist01.txt": "Archery/v_Archery_g03_c01.avi 1\nHandstandPushups/v_HandStandPushups_g03_c01.avi 2\n",
    "testlist01.txt": "Archery/v_Archery_g01_c01.avi\nHandstandPushups/v_HandStandPushups_g01_c01.avi\n",
    "trainlist02.txt": "Archery/v_Archery_g01_c01.avi 1\nHandstandPushups/v_HandStandPushups_g01_c01.avi 2\n",
    "testlist02.txt": "Archery/v_Archery_g03_c01.avi\nHandstandPushups/v_HandStandPushups_g03_c01.avi\n",
}
UCF_VIDEOS = [
    f"{folder}/v_{folder}_g{group}_c01.avi" for folder in ("Archery", "HandStandPushups") for group in ("01", "03")
]
HMDB = {
    "wave_test_split1.txt": "A_film_wave_f_cm_np1_fr_bad_0.avi 1 \nB_film_wave_u_nm_np1_ba_goo_1.avi 2 \n",
    "clap_test_split1.txt": "C_film_clap_u_cm_np2_le_med_0.avi 0 \nA_film_clap_l_cm_np1_fr_bad_3.avi 1 \n",
}
KINETICS = "label,youtube_id,time_start,time_end,split,is_cc\n"
OWN = "file,class,part,group,start_s,stop_s\n"


def write_lists(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def make_videos(folder: Path, names: Sequence[str]) -> Path:
    """Create empty files with the names of videos; plans do not read them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write_film(path: Path, frames: int = 5) -> Path:
    """Write a film of a moving bar, 12 x 7."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.full((frames, 7, 12), 40, np.uint8)
    for k in range(frames):
        images[k, :, (2 * k) % 12] = 220
    write_video(path, [Frame(round(k * 1e6 / FPS), image) for k, image in enumerate(images)])
    return path


def plan(tmp_path: Path, lists: Path, names: Sequence[str]) -> ListedConversions:
    return plan_listed(make_videos(tmp_path / "videos", names), tmp_path / "out", read_lists(lists))


def test_ucf101_has_its_splits_classes_and_groups(tmp_path: Path) -> None:
    planned = plan(tmp_path, write_lists(tmp_path / "lists", UCF), UCF_VIDEOS)
    rows = {(row.split, row.file): row for row in planned.rows}
    assert len(planned.tasks) == 4
    assert len(rows) == 8
    row = rows[1, "HandstandPushups/v_HandStandPushups_g03_c01.h5"]
    assert (row.class_name, row.part, row.group) == ("HandstandPushups", "train", "g03")
    assert rows[2, row.file].part == "test"
    assert {task.target for task in planned.tasks} == {tmp_path / "out" / file for _, file in rows}


def test_classes_with_other_upper_case_are_reported(tmp_path: Path) -> None:
    planned = plan(tmp_path, write_lists(tmp_path / "lists", UCF), UCF_VIDEOS)
    [note] = planned.notes
    assert mentions(note, "upper case", 1, "HandstandPushups", "HandStandPushups")


def test_ucf101_without_class_file_uses_the_folders_of_its_lists(tmp_path: Path) -> None:
    files = {name: text for name, text in UCF.items() if name != "classInd.txt"}
    clips = read_lists(write_lists(tmp_path, files))
    assert {clip.class_name for clip in clips} == {"Archery", "HandstandPushups"}


def test_hmdb51_has_parts_and_films(tmp_path: Path) -> None:
    clips = read_lists(write_lists(tmp_path, HMDB))
    assert [(clip.class_name, clip.part, clip.group) for clip in clips] == [
        ("clap", "train", "A_film"),
        ("wave", "train", "A_film"),
        ("wave", "test", "B_film"),
    ]


def test_kinetics_cuts_clips_from_films(tmp_path: Path) -> None:
    table = tmp_path / "k.csv"
    table.write_text(
        f"{KINETICS}air drumming,abc,10,20,train,0\nair drumming,abc,30,40,validate,0\nsnore,x-1,0,10,val,0"
    )
    planned = plan(tmp_path, table, ["abc.mp4", "snore/x-1_000000_000010.mp4"])
    assert [(task.source.name, str(task.name), task.span) for task in planned.tasks] == [
        ("abc.mp4", "air drumming/abc_000010_000020.mp4", FilmSpan(10, 20)),
        ("abc.mp4", "air drumming/abc_000030_000040.mp4", FilmSpan(30, 40)),
        ("x-1_000000_000010.mp4", "snore/x-1_000000_000010.mp4", None),
    ]
    assert [(row.part, row.group) for row in planned.rows] == [
        ("train", "abc"),
        ("validation", "abc"),
        ("validation", "x-1"),
    ]


def test_own_list_keeps_clips_of_a_film_together(tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text(f"{OWN}p1/a.mp4,wave,train,,0,1.5\np1/a.mp4,clap,train,,1.5,\np2/a.mp4,wave,test,anna,,\n")
    planned = plan(tmp_path, table, ["p1/a.mp4", "p2/a.mp4"])
    assert [(row.file, row.part, row.group) for row in planned.rows] == [
        ("wave/p1_a_000000_0001.5.h5", "train", "p1/a.mp4"),
        ("clap/a_0001.5.h5", "train", "p1/a.mp4"),
        ("wave/p2_a.h5", "test", "anna"),
    ]


def test_missing_doubled_and_unknown_videos_are_one_line_each(tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("file,class,part\na.mp4,wave,train\nb.mp4,wave,test\nc.mp4,clap,test\na.mp4,wave,train\n")
    planned = plan(tmp_path, table, ["x/a.mp4", "y/a.mp4", "b.mp4", "d.mp4"])
    missing, repeated, doubled, unknown = planned.notes
    assert mentions(missing, "missing", 1, "c.mp4")
    assert mentions(repeated, "listed twice", 1, "a.mp4")
    assert mentions(doubled, "more than once", 1, "a.mp4")
    assert mentions(unknown, "no part", 2, "d.mp4", "y/a.mp4")
    assert [task.source.name for task in planned.tasks] == ["a.mp4", "b.mp4"]


def test_videos_of_one_name_are_not_exchanged(tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("file,class,part\np1/a.mp4,wave,train\np2/a.mp4,wave,test\n")
    planned = plan(tmp_path, table, ["p2/a.mp4"])
    assert [row.file for row in planned.rows] == ["wave/p2_a.h5"]
    assert mentions(planned.notes[0], "missing", 1, "p1/a.mp4")


def test_clip_of_another_film_of_one_name_is_missing(tmp_path: Path) -> None:
    text = "file,class,part,start_s,stop_s\na/x.mp4,wave,train,0,10\nb/x.mp4,clap,test,0,10\n"
    table = tmp_path / "own.csv"
    table.write_text(text)
    planned = plan(tmp_path, table, ["a/x_000000_000010.mp4"])
    assert [row.class_name for row in planned.rows] == ["wave"]
    assert mentions(" ".join(planned.notes), "missing", "b/x.mp4")


def test_shards_divide_the_clips_and_share_the_splits(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists", UCF)
    videos = make_videos(tmp_path / "videos", UCF_VIDEOS)
    shares = [plan_listed(videos, tmp_path, read_lists(lists), shard=Shard(number, 2)) for number in (1, 2)]
    targets = [{task.target for task in share.tasks} for share in shares]
    assert not targets[0] & targets[1]
    assert len(targets[0] | targets[1]) == 4
    assert shares[0].rows == shares[1].rows


def test_nothing_that_fits_is_an_error(tmp_path: Path) -> None:
    with raises(DataError, "missing", 4, "no part", "other.avi"):
        plan(tmp_path, write_lists(tmp_path / "lists", UCF), ["other.avi"])


def test_clip_in_two_parts_of_a_split_is_an_error(tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("file,class,part\na.mp4,wave,train\na.mp4,wave,test\n")
    with raises(DataError, "a.mp4", "split 1", "train and test", "one part"):
        plan(tmp_path, table, ["a.mp4"])


@pytest.mark.parametrize(("group", "found"), [("bob", "anna and bob"), ("", "anna and no group")])
def test_clip_in_two_groups_of_a_split_is_an_error(tmp_path: Path, group: str, found: str) -> None:
    table = tmp_path / "own.csv"
    table.write_text(f"file,class,part,group\na.mp4,wave,train,anna\na.mp4,wave,train,{group}\n")
    with raises(DataError, "a.mp4", "split 1", found, "one group"):
        plan(tmp_path, table, ["a.mp4"])


def test_clip_in_two_classes_of_one_folder_is_an_error(tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("file,class,part\na.mp4,wave/left,train\na.mp4,wave-left,train\n")
    with raises(DataError, "a.mp4", "split 1", "wave/left and wave-left", "one class"):
        plan(tmp_path, table, ["a.mp4"])


@pytest.mark.parametrize(
    ("files", "facts"),
    [
        ({"notes.txt": "hello"}, ["no lists", "trainlist01.txt", "youtube_id"]),
        ({"a.csv": "file,part\n"}, ["a.csv", "no column class"]),
        ({"a.csv": "label,youtube_id\n"}, ["a.csv", "no column split"]),
        ({"a.csv": "file,class,part\na.mp4,wave,trial\n"}, ["a.csv: line 2", "part"]),
        ({"a.csv": f"{OWN}a.mp4,wave,train,,5,4\n"}, ["a.csv: line 2", 5, 4]),
        ({"a.csv": f"{OWN}a.mp4,wave,train,,5,inf\n"}, ["a.csv: line 2", "inf"]),
        ({"a.csv": f"{OWN}a.mp4,wave,train,,1e300,\n"}, ["a.csv: line 2", "1e+300"]),
        ({"a.csv": f"{KINETICS}a,b,1,inf,test,0\n"}, ["a.csv: line 2", "inf"]),
        ({"a.csv": f"{KINETICS}a,b,1,nan,test,0\n"}, ["a.csv: line 2", "nan"]),
        ({"a.csv": f"{KINETICS}a,b,1,2,trial,0\n"}, ["a.csv: line 2", "trial", "validate"]),
        ({"a.csv": f"{KINETICS},b,1,2,test,0\n"}, ["a.csv: line 2", "label"]),
        ({"wave_test_split1.txt": "a.avi 3\n"}, ["wave_test_split1.txt: line 1", "a.avi 3"]),
        ({"classInd.txt": "wave\n", "trainlist01.txt": "wave/a.avi 1\n"}, ["classInd.txt: line 1", "wave"]),
        (
            {"classInd.txt": "1 clap\n2 wave\n", "trainlist01.txt": "wave/a.avi 1\n"},
            ["trainlist01.txt: line 1", "wave", "found 1", "expected 2"],
        ),
        (
            {"classInd.txt": "1 clap\n2 wave\n", "trainlist01.txt": "wave/a.avi 7\n"},
            ["trainlist01.txt: line 1", "wave", "found 7", "expected 2"],
        ),
        (
            {"classInd.txt": "1 clap\n2 wave\n", "testlist01.txt": "wavng/a.avi\n"},
            ["testlist01.txt: line 1", "unknown class wavng"],
        ),
        ({"trainlist01.txt": "a.avi 1\n"}, ["trainlist01.txt: line 1", "a.avi"]),
    ],
)
def test_wrong_lists_are_refused(tmp_path: Path, files: Mapping[str, str], facts: list[object]) -> None:
    with raises(DataError, *facts):
        read_lists(write_lists(tmp_path, files))


def test_missing_list_is_an_error(tmp_path: Path) -> None:
    with raises(FileError, "none.csv"):
        read_lists(tmp_path / "none.csv")


def test_clips_of_one_film_are_converted_with_their_own_noise(tmp_path: Path) -> None:
    write_film(tmp_path / "videos" / "a.webm", frames=20)
    table = tmp_path / "own.csv"
    table.write_text(f"{OWN}a.webm,wave,train,,0,0.4\na.webm,wave,test,,0.4,0.8\n")
    planned = plan_listed(tmp_path / "videos", tmp_path / "out", read_lists(table))

    config = ConvertConfig(shot_noise_rate_hz=5)
    done = {str(outcome.item.span): outcome.result() for outcome in convert_many(planned.tasks, config)}
    first, second = done["000000_0000.4"], done["0000.4_0000.8"]
    assert (first.frames, second.frames) == (10, 10)
    seeds = [open_recording(each.path).attributes["settings"]["noise_seed"] for each in (first, second)]
    assert seeds[0] != seeds[1]
    assert open_recording(second.path).extent().first_us >= 400_000

    # The next run knows that both are complete.
    assert not list(convert_many(planned.tasks, config))


def test_part_of_an_event_recording_is_refused(tmp_path: Path) -> None:
    video = write_film(tmp_path / "a.webm")
    convert_task(ConversionTask(video, tmp_path / "a.h5"))
    with raises(FormatError, "a.h5@000000_000001", "expected a video"):
        convert_task(ConversionTask(tmp_path / "a.h5", tmp_path / "b.h5", span=FilmSpan(0, 1)))
