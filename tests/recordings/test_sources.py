"""Which files and folders are videos, recordings, and films of images: nothing is left out in silence."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import dvspipe
from conftest import random_events
from facts import mentions, raises, warnings_of

from dvspipe.base.errors import ConfigError, DvspipeError, FileError, PartialError, VideoError
from dvspipe.base.pool import Shard
from dvspipe.datasets import DataConfig, open_dataset
from dvspipe.encoding import BinConfig
from dvspipe.events import SensorSize
from dvspipe.formats import Hints, write
from dvspipe.framing import FramingConfig, open_source
from dvspipe.inference import plan_tasks
from dvspipe.oneshot.films import list_films
from dvspipe.recordings.config import ConvertConfig
from dvspipe.recordings.conversion import convert, convert_video, plan_conversions
from dvspipe.recordings.info import info
from dvspipe.streaming.sources import open_live
from dvspipe.video.frames import Frame
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video

BOTH = ("3 images", "2 videos", "frames", "skip")


def write_images(folder: Path, *names: object, size: tuple[int, int] = (7, 12)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / str(name)), np.full(size, 40 * number % 256, np.uint8))
    return folder


def write_films(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_video(folder / name, [Frame(40_000 * k, np.full((8, 12), 40 * k, np.uint8)) for k in range(5)])
    return folder


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Folder of two videos and three thumbnails."""
    write_images(tmp_path / "mixed", "thumb1.png", "thumb2.png", "thumb3.PNG")
    return write_films(tmp_path / "mixed", "a.webm", "b.webm")


def test_images_beside_videos_are_an_error_everywhere(mixed: Path, tmp_path: Path) -> None:
    target = SensorSize(width=12, height=7)
    for read in (
        lambda: convert([mixed], tmp_path / "out"),
        lambda: convert([mixed], tmp_path / "out.h5"),
        lambda: convert_video(mixed, tmp_path / "out.h5"),
        lambda: plan_tasks(mixed),
        lambda: info([mixed]),
        lambda: open_source(mixed, target, FramingConfig()),
    ):
        with raises(FileError, mixed.name, *BOTH):
            read()
    for find in (open_live, list_films):
        with raises(FileError, mixed.name, "3 images", "2 videos", "another folder"):
            find(mixed)
    assert mentions(dvspipe("convert", mixed, "-o", tmp_path / "out", code=2).stderr, *BOTH)
    assert not (tmp_path / "out").exists()


def test_images_setting_chooses_a_reading_and_says_what_is_left_out(
    mixed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = convert([mixed], tmp_path / "skipped", ConvertConfig(images="skip"))
    assert sorted(one.path.name for one in done) == ["a.h5", "b.h5"]
    assert mentions("".join(warnings_of(caplog)), mixed.name, "3 images", "2 videos", "images are left out")

    (film,) = convert([mixed], tmp_path / "film.h5", ConvertConfig(images="frames", fps=30))
    assert film.frames == 3
    assert mentions("".join(warnings_of(caplog)), mixed.name, "3 images", "2 videos", "others are left out")

    output = dvspipe("convert", mixed, "-o", tmp_path / "typed", "--images", "skip").output
    assert mentions(output, "3 images", "2 videos")
    assert [task.source for task in plan_tasks(mixed, images="frames")] == [mixed]


def test_images_beside_recordings_are_an_error_or_left_out(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "in", "chart.png")
    write(folder / "a.h5", random_events(0, 20))
    write(folder / "b.csv", random_events(1, 20))
    with raises(FileError, "1 image", "2 recordings", "skip"):
        info([folder])
    assert [report.events for report in info([folder], hints=Hints(images="skip"))] == [20, 20]
    assert dvspipe("info", folder, "--images", "skip").stdout.count("12 x 7") == 2


def test_ambiguous_folder_is_one_bad_input_of_many(mixed: Path, tmp_path: Path) -> None:
    write(tmp_path / "mixed" / "c.h5", random_events(0, 20))
    write(tmp_path / "good" / "d.bin", random_events(1, 2000, span_us=600_000))
    done = dvspipe("convert", tmp_path, "-o", tmp_path.parent / "out", code=1)
    assert mentions(done.stderr, "skipped", mixed.name, "3 images", "2 videos", "1 recording", "1 of 2")
    assert [path.name for path in (tmp_path.parent / "out").rglob("*.h5")] == ["d.h5"]
    done = dvspipe("info", tmp_path, "--sensor", "12x7", code=1)
    assert mentions(done.stderr, "skipped", mixed.name, "3 images", "1 of 2")
    done = dvspipe("infer", "nmnist-synthetic", tmp_path, "--sensor", "12x7", "--fit", "crop", code=1)
    assert mentions(done.stderr, "skipped", mixed.name, "3 images", "1 of 2")


def test_files_below_a_film_and_videos_among_recordings_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = write_images(tmp_path / "film", "1.png", "2.png")
    write_images(film / "deep", "7.png")
    write_films(film / "deep", "a.webm")
    assert [task.source for task in plan_conversions(film, tmp_path / "out")] == [film]
    assert mentions("".join(warnings_of(caplog)), film.name, "2 files", "left out", "images=skip")
    (film / "deep" / "7.png").unlink()
    assert [task.source.name for task in plan_conversions(film, tmp_path / "out", images="skip")] == ["a.webm"]
    assert mentions("".join(warnings_of(caplog)), film.name, "left out: its images")

    write(tmp_path / "in" / "a.bin", random_events(0, 20))
    write_films(tmp_path / "in", "b.webm", "c.webm")
    with caplog.at_level("INFO"):
        assert len(info([tmp_path / "in"], hints=Hints(sensor="12x7"))) == 1
    assert mentions(caplog.text, "2 videos", "left out")


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (("001.png", "002.png", "cover.png"), "cover.png"),
        (("img1.png", "img2.png", "pic3.png"), "pic3.png"),
        (("1.png", "2.png", "3.jpg"), "3.jpg"),
        (("1.png", "01.png", "2.png"), "1.png"),
        (("a1_1.png", "a1_2.png", "a1_3.png", "a2_1.png"), "a2_1.png"),
        (("left.png", "right.png"), "left.png"),
    ],
)
def test_names_that_are_no_sequence_are_an_error_unless_a_file_lists_them(
    tmp_path: Path, names: tuple[str, ...], wrong: str
) -> None:
    folder = write_images(tmp_path / "film", *names)
    with raises(VideoError, "film", f"{len(names)} images", "timestamps.txt") as caught:
        convert([folder], tmp_path / "out.h5")
    assert wrong in str(caught.value)

    (folder / "timestamps.txt").write_text("".join(f"0.{number:02}\n" for number in range(len(names))))
    with raises(VideoError, "timestamps.txt"):  # times without names leave the order open
        open_video(folder)


def test_times_that_name_the_images_give_their_order(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "film", "left.png", "right.png")
    (folder / "images.csv").write_text("0.00,left.png,1,2,3\n0.04,right.png,1,2,4\n")  # not events
    assert [frame.t_us for frame in open_video(folder).frames()] == [0, 40_000]
    assert [task.source for task in plan_conversions(folder, tmp_path / "out.h5")] == [folder]


def test_missing_numbers_are_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_images(tmp_path / "film", "2026_8.png", "2026_9.png", "2026_12.PNG")
    assert len(list(open_video(folder).frames())) == 3
    assert len(list(open_video(folder).frames())) == 3
    (text,) = warnings_of(caplog)
    assert mentions(text, "film", 2, 5, 10)


@pytest.mark.parametrize("resize", [None, "24x14"])
def test_images_of_two_sizes_are_an_error(tmp_path: Path, resize: str | None) -> None:
    folder = write_images(tmp_path / "film", "1.png", "2.png")
    write_images(folder, "3.png", size=(14, 24))
    with raises(VideoError, "film", "frame 2", "24x14", "12x7"):
        convert([folder], tmp_path / "out.h5", ConvertConfig(resize=resize))


def test_training_refuses_images_beside_films(tmp_path: Path) -> None:
    for name in ("wave", "clap"):
        write_films(tmp_path / "in" / name, "a.webm", "b.webm")
    write_images(tmp_path / "in" / "clap", "1.png", "2.png", "3.png")

    def list_train(**settings: object) -> list[str]:
        config = DataConfig.model_validate({"root": tmp_path / "in", "test": 0.5, "validation": 0.0, **settings})
        data = open_dataset(config, BinConfig())
        return sorted(Path(sample.name).name for sample in (*data.train, *data.test))

    with raises(FileError, "clap", *BOTH):
        list_train()
    assert list_train(images="skip") == ["a.webm", "a.webm", "b.webm", "b.webm"]
    assert list_train(images="frames") == ["a.webm", "b.webm", "clap"]
    with raises(FileError, "clap", "3 images", "2 videos"):
        list_films(tmp_path / "in")


# Shares


def test_variables_of_slurm_choose_a_share_only_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        write(tmp_path / "in" / f"{number}.bin", random_events(number, 20))
    for name, value in (("MIN", "0"), ("MAX", "1"), ("COUNT", "2"), ("ID", "1")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)

    assert len(convert([tmp_path / "in"], tmp_path / "all")) == 9
    output = dvspipe("convert", tmp_path / "in", "-o", tmp_path / "part", "--share", "auto").output
    assert "share 2/2" in output
    planned = plan_conversions(tmp_path / "in", tmp_path / "part", shard=Shard(2, 2))
    assert {path.stem for path in (tmp_path / "part").iterdir()} == {task.source.stem for task in planned}
    assert 0 < len(planned) < 9

    monkeypatch.delenv("SLURM_ARRAY_TASK_MAX")
    with raises(ConfigError, "auto", "SLURM_ARRAY_TASK_MAX"):
        convert([tmp_path / "in"], tmp_path / "other", share="auto")


@pytest.mark.parametrize("command", ["convert IN -o OUT", "infer nmnist-synthetic IN --sensor=34x34 -o OUT"])
@pytest.mark.parametrize("single", [False, True])
def test_share_without_work_says_so(tmp_path: Path, command: str, *, single: bool) -> None:
    write(tmp_path / "in" / "a.bin", random_events(0, 2000, span_us=600_000))
    source = tmp_path / "in" / "a.bin" if single else tmp_path / "in"
    lines = []
    for number in (1, 2):
        words = command.replace("IN", str(source)).replace("OUT", str(tmp_path / f"out{number}")).split()
        lines.append(dvspipe(*words, "--share", f"{number}/2").stderr)
    assert sum("no files" in text for text in lines) == 1
    assert sum((tmp_path / f"out{number}").exists() for number in (1, 2)) == 1


def test_second_run_over_a_folder_with_one_video_has_nothing_to_do(tmp_path: Path) -> None:
    folder = write_films(tmp_path / "in", "a.webm")
    for _ in range(2):
        done = dvspipe("convert", folder, "-o", tmp_path / "out")
    assert mentions(done.stderr, "already converted", "1 of 1")
    write_films(folder, *(f"{number}.webm" for number in range(4)))
    for share in ("1/4", "2/4", "3/4", "4/4") * 2:
        dvspipe("convert", folder, "-o", tmp_path / "out", "--share", share)
    assert len(list((tmp_path / "out").iterdir())) == 5
    dvspipe("convert", folder / "a.webm", "-o", tmp_path / "out" / "a.h5", code=2)  # a single file exists


# One bad input of many


@pytest.mark.parametrize("command", ["convert", "info", "infer nmnist-synthetic"])
def test_one_missing_input_of_many_is_skipped(tmp_path: Path, command: str) -> None:
    write(tmp_path / "a.bin", random_events(0, 2000, span_us=600_000))
    missing = [tmp_path / f"missing{number}.bin" for number in range(2)]

    def run(*files: Path, out: str, code: int) -> str:
        output = () if command == "info" else ("-o", tmp_path / out)
        return dvspipe(*command.split(), *files, *output, "--sensor", "34x34", code=code).stderr

    text = run(missing[0], tmp_path / "a.bin", out="out", code=1)
    assert mentions(text, "skipped", "missing0.bin", "no such file", "1 of 2")
    assert (tmp_path / "out").exists() is (command != "info")
    assert mentions(run(*missing, out="all", code=2), "skipped", "missing0.bin", "missing1.bin", "2 of 2")
    text = run(missing[0], out="one.h5" if command == "convert" else "one", code=2)
    assert "skipped" not in text
    assert mentions(text, "missing0.bin", "no such file")


def test_missing_label_file_is_an_error_before_the_work(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", random_events(0, 2000, span_us=600_000))
    words = ("infer", "nmnist-synthetic", tmp_path / "a.bin", tmp_path / "missing.bin", "-o", tmp_path / "out")
    done = dvspipe(*words, "--labels", tmp_path / "labels", code=2)
    assert mentions(done.stderr, "labels")
    assert not (tmp_path / "out").exists()


def test_all_kinds_of_errors_are_dvspipes(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(PartialError):
        convert([mixed, mixed / "a.webm"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PartialError):
        convert([tmp_path / "empty", mixed / "b.webm"], tmp_path / "out")
    with pytest.raises(DvspipeError):
        open_live(tmp_path / "empty")
