"""Previews, charts and pages, read back by other libraries than those that wrote them where there are any."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dvspipe.errors import ConfigError, EventError, FileError, FormatError
from dvspipe.events import Events, SensorSize
from dvspipe.frames import Frame
from dvspipe.report import (
    PreviewSettings,
    answers,
    draw_curves,
    draw_events,
    draw_probabilities,
    draw_rasters,
    write_answers_page,
    write_pictures,
    write_preview,
    write_training_page,
)
from dvspipe.report.page import wilson_interval
from dvspipe.report.previews import Caption
from dvspipe.report.timelines import class_colour, in_a_bar
from dvspipe.video import write_video

SENSOR = SensorSize(width=12, height=7)
SCALE = 27  # the least whole factor that makes 12 pixels at least 320
SIZE = (12 * SCALE, 7 * SCALE + 23)  # a strip of 22 pixels for the time, and one to make the height even
SETTINGS = PreviewSettings(window_us=10_000)
RED, BLUE, WHITE = (214, 31, 38), (31, 95, 191), (255, 255, 255)
CLASSES = ["hand wave", "drums", "<script>alert(1)</script>", "$x$ & _y"]


@pytest.fixture
def events() -> Events:
    """Three windows: four ON at (3, 1), four OFF at (5, 2), four of both at (8, 3); nothing; one ON at (0, 0)."""
    rows = [(t, x, y, p) for t in range(0, 4000, 1000) for x, y, p in ((3, 1, 1), (5, 2, 0), (8, 3, 1), (8, 3, 0))]
    t, x, y, p = np.array([*rows, (29_999, 0, 0, 1)]).T + np.array([[1_000_000], [0], [0], [0]])
    return Events(t, x, y, p, SENSOR)


def pixel(image: Any, x: int, y: int) -> tuple[int, ...]:
    """The colour in the middle of a sensor's pixel of an enlarged RGB picture."""
    return tuple(int(value) for value in np.asarray(image)[y * SCALE + SCALE // 2, x * SCALE + SCALE // 2])


def gif_pictures(path: Path) -> list[Any]:
    with Image.open(path) as image:
        pictures = []
        for number in range(image.n_frames):
            image.seek(number)
            pictures.append(np.asarray(image.convert("RGB")))
    return pictures


def webm_pictures(path: Path) -> list[Any]:
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while len(pictures) < 1000:
        ok, image = capture.read()
        if not ok:
            break
        pictures.append(image[:, :, ::-1])
    capture.release()
    return pictures


@pytest.mark.parametrize(("name", "read", "tolerance"), [("a.gif", gif_pictures, 0), ("a.webm", webm_pictures, 30)])
def test_a_moving_preview_has_a_picture_per_window_in_the_colours_of_polarity(
    tmp_path: Path, events: Events, name: str, read: Any, tolerance: int
) -> None:
    pictures = read(write_preview([events], SENSOR, tmp_path / name, SETTINGS))
    assert [picture.shape[1::-1] for picture in pictures] == [SIZE] * 3
    seen = [pixel(pictures[0], 3, 1), pixel(pictures[0], 5, 2), pixel(pictures[0], 8, 3), pixel(pictures[1], 3, 1)]
    assert np.abs(np.subtract(seen, [RED, BLUE, WHITE, WHITE])).max() <= tolerance
    pale_red = np.add(WHITE, 0.6 * np.subtract(RED, WHITE)).round()  # one event
    assert np.abs(pixel(pictures[2], 0, 0) - pale_red).max() <= tolerance
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_gif_loops_and_its_durations_do_not_drift(tmp_path: Path) -> None:
    t = np.arange(0, 1_000_000, 1000)
    events = Events(t, t % 12, t % 7, t % 2, SENSOR)
    path = write_preview([events], SENSOR, tmp_path / "a.gif")
    durations = []
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
    assert set(durations) == {30, 40}
    assert sum(durations) == pytest.approx(len(durations) * 33.333, abs=5)


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_chunks_of_any_size_give_the_same_file_as_the_whole(
    tmp_path: Path, events: Events, length: int, suffix: str
) -> None:
    parts = [events.slice_time(start, start + 1000 * length) for start in range(1_000_000, 1_030_000, 1000 * length)]
    assert sum(map(len, parts)) == len(events)
    span = (int(events.t[0]), int(events.t[-1]))
    whole = write_preview([events], SENSOR, tmp_path / f"whole{suffix}", SETTINGS)
    streamed = write_preview(iter(parts), SENSOR, tmp_path / f"parts{suffix}", SETTINGS, span_us=span)
    assert streamed.read_bytes() == whole.read_bytes()


def test_a_sheet_shows_twelve_windows_from_the_first_to_the_last(tmp_path: Path, events: Events) -> None:
    with Image.open(write_preview([events], SENSOR, tmp_path / "a.png", SETTINGS)) as image:
        sheet = np.asarray(image)
    assert sheet.shape == (3 * (SIZE[1] + 8) + 8, 4 * (SIZE[0] + 8) + 8, 3)
    first, last = sheet[8:, 8:], sheet[2 * (SIZE[1] + 8) + 8 :, 3 * (SIZE[0] + 8) + 8 :]
    assert pixel(first, 3, 1) == RED
    assert pixel(first, 5, 2) == BLUE
    assert pixel(last, 3, 1) == WHITE
    assert pixel(last, 0, 0) != WHITE


@pytest.mark.parametrize("colours", ["light", "dark", "colour-blind"])
def test_every_set_of_colours_tells_on_off_and_nothing_apart(tmp_path: Path, events: Events, colours: str) -> None:
    settings = PreviewSettings(window_us=10_000, colours=colours)  # type: ignore[arg-type]
    picture = gif_pictures(write_preview([events], SENSOR, tmp_path / "a.gif", settings))[0]
    on, off, nothing = pixel(picture, 3, 1), pixel(picture, 5, 2), pixel(picture, 0, 6)
    assert min(np.abs(np.subtract(a, b)).max() for a, b in ((on, off), (on, nothing), (off, nothing))) > 100


@pytest.mark.parametrize(
    ("name", "read"), [("a.gif", gif_pictures), ("a.webm", webm_pictures), ("a.png", gif_pictures)]
)
@pytest.mark.parametrize("chunks", [[], [Events.empty(SENSOR)]])
def test_no_events_still_give_a_picture(tmp_path: Path, name: str, read: Any, chunks: list[Events]) -> None:
    assert len(read(write_preview(chunks, SENSOR, tmp_path / name))) == 1


def test_an_odd_large_sensor_is_not_enlarged_and_gets_even_sides(tmp_path: Path) -> None:
    sensor = SensorSize(width=347, height=261)
    pictures = webm_pictures(write_preview([], sensor, tmp_path / "a.webm"))
    assert pictures[0].shape == (284, 348, 3)


@pytest.mark.parametrize("name", ["a.mp4", "a"])
def test_another_suffix_is_refused_with_the_possible_ones(tmp_path: Path, events: Events, name: str) -> None:
    with pytest.raises(FileError, match=r"use \.webm, \.gif or \.png"):
        write_preview([events], SENSOR, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.gif", "a.webm", "a.png"])
def test_a_failure_on_the_way_leaves_the_folder_as_it_was(tmp_path: Path, events: Events, name: str) -> None:
    (tmp_path / name).write_text("before")

    def broken() -> Iterator[Events]:
        yield events
        raise RuntimeError("the recording ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        write_preview(broken(), SENSOR, tmp_path / name, SETTINGS)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_chunk_of_another_sensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EventError, match="sensor of 13x7, expected 12x7"):
        write_preview([Events.empty(SensorSize(width=13, height=7))], SENSOR, tmp_path / "a.gif")


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "nowhere").touch()
    with pytest.raises(FileError, match=r"nowhere.*a\.gif: cannot be written"):
        write_preview([], SENSOR, tmp_path / "nowhere" / "a.gif")


def test_charts_take_one_epoch_missing_values_and_any_name(tmp_path: Path) -> None:
    row = {"epoch": 1.0, "train_loss": 0.5, "val_loss": float("nan"), "train_accuracy": 0.9, "rate__$x": 0.1}
    draw_curves([row], tmp_path / "curves.png", chosen_epoch=1)
    draw_probabilities([0.1, 0.2, 0.3, 0.4], CLASSES, tmp_path / "bars.png", title="$ _ $")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bars.png", "curves.png"]


ACTIVITY = {
    "step_us": 20_000,
    "steps": 3,
    "recordings": 20,
    "layers": [
        {
            "name": "lif1", "neurons": 1000, "connections": 50_000, "fan_out": 250.0, "rate": 0.0125, "arrived": 80.0,
            "operations": 20_000.0, "multiplies": False,
        },
        {
            "name": "readout", "neurons": 4, "connections": 4000, "fan_out": 4.0, "rate": None, "arrived": 37.5,
            "operations": 150.0, "multiplies": False,
        },
    ],
    "examples": [
        {
            "name": "a.h5", "label": label, "predicted": predicted, "arrived": [[3.0, 0.0, 5.0]] * channels,
            "layers": [
                {"name": "lif1", "neurons": 1000, "spikes": [[], [0, 2], [1]], "traced": [1, 2],
                 "membranes": [[1.2, 0.3, 1.1], [-0.2, 1.5, 0.1]]},
            ],
            "readout": [[0.0, 0.1, 0.2, 0.3], [0.5, 0.1, 0.2, 0.3], [1.0, 0.1, 0.2, 0.3]],
        }
        for label, predicted, channels in ((0, 0, 2), (2, 0, 1))
    ],
}  # fmt: skip


def make_run(folder: Path, activity: dict[str, Any] = ACTIVITY, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    test = {
        "title": "Four gestures",
        "synthetic": False,
        "data": "20 clips of people whom the training never saw",
        "accuracy": 0.85,
        "samples": 20,
        "correct": 17,
        "chosen_epoch": 2,
        "val_accuracy": 0.9,
        "classes": CLASSES,
        "confusion": [[5, 0, 0, 0], [1, 4, 0, 0], [0, 1, 3, 1], [0, 0, 0, 5]],
        "event_count_accuracy": 0.3,
        "baseline": None,
        "notes": ["a < b"],
        "command": "dvspipe train four seed=1",
        "versions": {"dvspipe": "0.1.0"},
        "machine": {"Python": "3.12.1", "processor": "<i>"},
    }
    (folder / "activity.json").write_text(json.dumps(activity))
    (folder / "test.json").write_text(json.dumps(test | changes))
    header = "epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds,rate_conv1\n"
    (folder / "results.csv").write_text(header + "1,1.5,0.4,1.4,0.5,0.001,9.5,0.1\n2,0.9,0.8,,0.9,0.001,9.4,0.2\n")
    (folder / "args.yaml").write_text("seed: 1\nnetwork:\n  name: '<b>'\n")
    return folder


def test_the_training_page_says_what_was_measured(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    text = write_training_page(run).read_text(encoding="utf-8")
    assert "85.00 %" in text
    assert "17 of 20 right; 95 % interval (Wilson) 63.96 to 94.76 %" in text
    for words in (
        "epoch 2, chosen on the validation split",
        "90.00 %",
        "20 clips of people",
        "seed=1",
        "dvspipe 0.1.0",
        "Python 3.12.1",
    ):
        assert words in text
    # drums: 4 of 5 predicted are right, 4 of 5 are found
    assert "<td>drums</td><td>80.0</td><td>80.0</td><td>80.0</td><td>5</td>" in text
    assert "ynthetic" not in text
    assert {path.name for path in run.iterdir()} == {
        *("args.yaml", "results.csv", "test.json", "activity.json"),
        *("curves.png", "confusion_matrix.png", "examples.png", "report.html"),
    }


def test_the_training_page_loads_nothing_and_escapes_everything(tmp_path: Path) -> None:
    text = write_training_page(make_run(tmp_path)).read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "<script" not in text
    assert "<b>" not in text
    assert "<i>" not in text
    for name in ("hand wave", "drums", "&lt;script&gt;alert(1)&lt;/script&gt;", "$x$ &amp; _y", "a &lt; b"):
        assert name in text


def cells(text: str, first: str) -> list[str]:
    """The other cells of the row of a table that begins with a text."""
    (row,) = re.findall(rf"<tr><td>{re.escape(first)}</td>(.*?)</tr>", text)
    return re.findall(r"<td>(.*?)</td>", row)


def test_energy_is_operations_times_their_cost(tmp_path: Path) -> None:
    """20,150 additions of 0.9 pJ, 3 x 1004 membranes and 54,000 multiply-accumulates of 4.6 pJ."""
    text = write_training_page(make_run(tmp_path)).read_text(encoding="utf-8")
    assert cells(text, "lif1") == ["1,000", "0.0125", "80", "250", "20,000", "18 nJ"]
    assert cells(text, "readout") == ["4", "–", "38", "4", "150", "135 pJ"]
    synapses, relu = 20_150 * 0.9, 54_000 * 4.6
    both = synapses + 3012 * 4.6
    assert cells(text, "This network, synapses")[1:] == [f"{synapses / 1e3:.3g} nJ", f"{synapses / relu:.2f}"]
    assert cells(text, "This network, synapses and membranes")[1:] == [f"{both / 1e3:.3g} nJ", f"{both / relu:.2f}"]
    assert cells(text, "The same network with ReLU, on the sum of the steps")[1:] == ["248 nJ", "1.00"]
    assert cells(text, "The same network with ReLU, on every step")[1:] == ["745 nJ", "3.00"]
    assert "Horowitz" in text


def test_inputs_that_are_no_counts_are_multiplied(tmp_path: Path) -> None:
    first, *others = ACTIVITY["layers"]  # type: ignore[misc]
    activity = ACTIVITY | {"layers": [first | {"multiplies": True}, *others]}
    text = write_training_page(make_run(tmp_path, activity)).read_text(encoding="utf-8")
    assert cells(text, "lif1")[-1] == "92 nJ"  # 20,000 of 4.6 pJ
    assert cells(text, "All synapses")[-1] == "92.1 nJ"


def test_the_accuracy_stands_beside_what_classifiers_reach_that_know_less(tmp_path: Path) -> None:
    baseline = {"accuracy": 0.75, "samples": 20, "correct": 15, "chosen_epoch": 1, "val_accuracy": 0.8}
    text = write_training_page(make_run(tmp_path, baseline=baseline)).read_text(encoding="utf-8")
    assert cells(text, "This spiking network")[0] == "85.00"
    low, high = wilson_interval(15, 20)
    relu = cells(text, "A ReLU network of the same shape, on the sum of the steps")
    assert relu == ["75.00", f"{100 * low:.2f} to {100 * high:.2f}"]
    assert cells(text, "A linear classifier that sees only the number of events")[0] == "30.00"
    assert cells(text, "Chance")[0] == "25.00"
    assert "A ReLU network" not in write_training_page(make_run(tmp_path)).read_text(encoding="utf-8")


def test_an_example_shows_its_class_and_a_wrong_answer_in_red(tmp_path: Path) -> None:
    """The second of two columns is taken for another class; its readout is drawn in red."""
    activity = ACTIVITY | {"examples": [example | {"arrived": [[1.0] * 3]} for example in ACTIVITY["examples"]]}  # type: ignore[attr-defined]
    write_training_page(make_run(tmp_path, activity))
    blue, green, red = np.moveaxis(cv2.imread(str(tmp_path / "examples.png")).astype(int), 2, 0)
    left, right = np.array_split(((red - blue > 100) & (red - green > 100)).sum(axis=0), 2)
    assert left.sum() == 0
    assert right.sum() > 100


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ({"synthetic": True}, "synthetic data"),
        ({"synthetic": True, "synthetic_test": True}, "synthetic data"),
        ({"synthetic": True, "synthetic_test": False}, "synthetic training data"),
        ({"synthetic": False, "synthetic_test": True}, "synthetic test data"),
    ],
)
def test_synthetic_stands_beside_every_result(tmp_path: Path, made: dict[str, bool], kind: str) -> None:
    text = write_training_page(make_run(tmp_path, **made)).read_text(encoding="utf-8")
    for heading in (
        "Test accuracy", "Beside simpler classifiers", "Training", "Confusion matrix of the test set", "Classes",
        "Examples", "Spikes, operations, energy",
    ):  # fmt: skip
        assert f'<h2>{heading} <span class="badge">{kind}</span></h2>' in text


def test_previews_are_inside_the_page(tmp_path: Path, events: Events) -> None:
    gif = write_preview([events], SENSOR, tmp_path / "a.gif", SETTINGS)
    webm = write_preview([events], SENSOR, tmp_path / "a.webm", SETTINGS)
    page = write_training_page(make_run(tmp_path / "run"), [('A "wave"', gif), ("The same", webm)])
    text = page.read_text(encoding="utf-8")
    assert '<img alt="A &quot;wave&quot;" src="data:image/gif;base64,' in text
    assert '<video controls loop muted playsinline src="data:video/webm;base64,' in text
    with pytest.raises(FileError, match=r"a\.mp4: cannot be shown"):
        write_training_page(tmp_path / "run", [("", tmp_path / "a.mp4")])


@pytest.mark.parametrize("name", ["args.yaml", "results.csv", "test.json", "activity.json"])
def test_a_missing_record_is_named(tmp_path: Path, name: str) -> None:
    (make_run(tmp_path) / name).unlink()
    with pytest.raises(FileError, match=rf"{name}: no such file"):
        write_training_page(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.csv", "epoch,train_loss\n1,low\n", "numbers"),
        ("results.csv", "epoch,train_loss\n1,0.5,7\n", "numbers"),
        ("results.csv", "epoch,train_loss\n", "at least one row"),
        ("test.json", "{", "JSON"),
        ("test.json", "{}", "title Field required"),
        ("activity.json", "{}", "step_us Field required"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (make_run(tmp_path) / name).write_text(content)
    with pytest.raises(FormatError, match=rf"{name}: .*{message}"):
        write_training_page(tmp_path)


def test_a_confusion_matrix_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"test\.json: .*each of the 4 classes"):
        write_training_page(make_run(tmp_path, confusion=[[1]]))


@pytest.mark.parametrize(("correct", "samples"), [(0, 10), (10, 10), (17, 20), (231, 264)])
def test_the_ends_of_a_wilson_interval_lie_two_sided_five_percent_off(correct: int, samples: int) -> None:
    share = correct / samples
    low, high = wilson_interval(correct, samples)
    assert 0 <= low <= share <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        assert abs(share - end) == pytest.approx(1.959964 * (end * (1 - end) / samples) ** 0.5, rel=1e-9)
    assert wilson_interval(0, 0) == (0, 1)


def test_importing_the_report_is_light() -> None:
    code = (
        "import sys, dvspipe.report; print([m for m in ('matplotlib', 'sklearn', 'PIL', 'torch') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("speed", [0.25, 2.0])
def test_speed_shortens_the_time_that_a_preview_plays(tmp_path: Path, events: Events, speed: float) -> None:
    settings = PreviewSettings(window_us=50_000, speed=speed)
    for name in ("a.gif", "a.webm"):
        write_preview([events], SENSOR, tmp_path / name, settings)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["duration"] == pytest.approx(50 / speed, abs=10)
    capture = cv2.VideoCapture(str(tmp_path / "a.webm"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(20 * speed, rel=0.01)
    capture.release()


@pytest.mark.parametrize("size", [(1, 3), (9, 12)])  # as lines, as a picture
def test_a_raster_shows_when_each_pixel_spikes(tmp_path: Path, size: tuple[int, int]) -> None:
    image = np.full(size, 0.9)
    early = np.zeros((40, 1, *size), np.uint8)
    early[:20] = 1
    draw_rasters({"early": early, "late": early[::-1]}, image, tmp_path / "a.png", step_us=1000)
    picture = cv2.imread(str(tmp_path / "a.png"))
    dark = (picture.max(axis=2) < 80).sum(axis=0)
    ((a, b), (c, d)) = (np.array_split(panel, 2) for panel in np.array_split(dark[round(0.2 * len(dark)) :], 2))
    assert min(a.sum(), d.sum()) > 3 * max(b.sum(), c.sum())


@pytest.mark.parametrize(("polarity", "strong", "weak"), [(0, 0, 2), (1, 2, 0)])  # OFF blue, ON red; OpenCV reads BGR
def test_a_raster_tells_on_from_off(tmp_path: Path, polarity: int, strong: int, weak: int) -> None:
    trains = np.zeros((40, 2, 1, 3), np.uint8)
    trains[:, polarity] = 1
    draw_rasters({"delta": trains}, np.ones((1, 3)), tmp_path / "a.png", step_us=1)
    picture = cv2.imread(str(tmp_path / "a.png")).astype(int)
    assert (picture[..., strong] - picture[..., weak] > 100).any()
    assert not (picture[..., weak] - picture[..., strong] > 100).any()


def test_more_trains_than_a_picture_shows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hsa: 4,225 spike trains of 65x65 pixels, a picture shows at most 4,096"):
        draw_rasters({"hsa": np.zeros((5, 1, 65, 65), np.uint8)}, np.ones((65, 65)), tmp_path / "a.png", step_us=1)
    assert not list(tmp_path.iterdir())


# More ways to show events


def one_event(t_us: int = 0, x: int = 3, y: int = 1, on: bool = True) -> Events:
    return Events([t_us], [x], [y], [on], SENSOR)


def share_of(shown: tuple[int, ...], ink: tuple[int, int, int]) -> float:
    """How much of an ink a colour on white has."""
    return float(np.mean([(255 - a) / (255 - b) for a, b in zip(shown, ink, strict=True)]))


@pytest.mark.parametrize(("mode", "strength"), [("surface", lambda w: w), ("decay", lambda w: 1 - np.exp(-w))])
def test_an_event_fades_by_its_age(tmp_path: Path, mode: Any, strength: Any) -> None:
    parts = [one_event(0), one_event(50_000, x=5, y=2, on=False)]
    settings = PreviewSettings(window_us=20_000, fps=100, mode=mode)  # a picture every 10 ms, the first at 10 ms
    pictures = gif_pictures(write_preview(parts, SENSOR, tmp_path / "a.gif", settings))
    assert len(pictures) == 6
    for number, picture in enumerate(pictures):
        left = strength(np.exp(-(number + 1) / 2))
        assert share_of(pixel(picture, 3, 1), RED) == pytest.approx(left, abs=0.04)
    assert share_of(pixel(pictures[-1], 5, 2), BLUE) == pytest.approx(strength(np.exp(-0.5)), abs=0.04)


def test_a_surface_shows_the_last_event_and_decay_their_sum(tmp_path: Path) -> None:
    events = Events([0, 1, 2], [3, 3, 3], [1, 1, 1], [1, 1, 0], SENSOR)
    for mode, ink, share in (("surface", BLUE, 1), ("decay", RED, 1 - np.exp(-1))):
        settings = PreviewSettings.model_validate({"window_us": 10**6, "fps": 100, "mode": mode})
        picture = gif_pictures(write_preview([events], SENSOR, tmp_path / f"{mode}.gif", settings))[0]
        assert share_of(pixel(picture, 3, 1), ink) == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("colours", ["viridis", "inferno", "grey"])
def test_a_colour_map_shows_on_and_off_alike(tmp_path: Path, events: Events, colours: Any) -> None:
    settings = PreviewSettings(window_us=10_000, colours=colours)
    picture = gif_pictures(write_preview([events], SENSOR, tmp_path / "a.gif", settings))[0]
    on, off, nothing = pixel(picture, 3, 1), pixel(picture, 5, 2), pixel(picture, 0, 6)
    assert on == off
    assert sum(on) > sum(nothing) + 200


def test_pictures_follow_each_other_by_speed_and_rate(tmp_path: Path) -> None:
    """A second at twice the speed and 20 pictures per second: ten pictures."""
    events = Events([0, 999_999], [0, 1], [0, 0], [1, 1], SENSOR)
    path = write_preview([events], SENSOR, tmp_path / "a.gif", PreviewSettings(speed=2, fps=20))
    assert len(gif_pictures(path)) == 10
    with Image.open(path) as image:
        assert image.info["duration"] == 50


def test_a_long_pause_is_cut_short_on_request(tmp_path: Path) -> None:
    events = Events([0, 3_600_000_000], [0, 1], [0, 0], [1, 1], SENSOR)
    settings = PreviewSettings(window_us=100_000, skip_pauses=True)
    assert len(gif_pictures(write_preview([events], SENSOR, tmp_path / "a.gif", settings))) == 12


def test_a_large_sensor_is_made_smaller(tmp_path: Path) -> None:
    sensor = SensorSize(width=90, height=30)
    events = Events([0] * 4, [31] * 4, [17] * 4, [1] * 4, sensor)
    settings = PreviewSettings(max_side_px=30, min_side_px=1)
    picture = gif_pictures(write_preview([events], sensor, tmp_path / "a.gif", settings))[0]
    assert picture.shape[:2] == (10 + 22, 30)
    ((row, column),) = np.argwhere((picture[:10] == RED).all(axis=2))
    assert (row, column) == (17 // 3, 31 // 3)


def test_the_video_stands_beside_the_events(tmp_path: Path, events: Events) -> None:
    """Dark for the first 15 ms of the recording, then bright."""
    greys = [20 if 5000 * k < 1_015_000 else 235 for k in range(206)]
    write_video(
        tmp_path / "v.webm", [Frame(5000 * k, np.full((14, 24), grey, np.uint8)) for k, grey in enumerate(greys)]
    )
    path = write_preview([events], SENSOR, tmp_path / "a.gif", SETTINGS, beside=tmp_path / "v.webm")
    pictures = gif_pictures(path)
    assert pictures[0][40, 40].mean() < 40
    assert pictures[2][40, 40].mean() > 210
    wide = pictures[0][:, 12 * SCALE :]
    assert pixel(wide, 3, 1) == RED
    assert pixel(wide, 5, 2) == BLUE


def test_a_caption_has_a_bar_as_long_as_its_share(tmp_path: Path, events: Events) -> None:
    path = write_preview(
        [events], SENSOR, tmp_path / "a.gif", SETTINGS, captions=lambda t_us: Caption("x", (t_us - 1_000_000) / 40_000)
    )
    for number, picture in enumerate(gif_pictures(path), start=1):
        bar = picture[7 * SCALE + 21]
        assert (bar == (29, 95, 191)).all(axis=1).mean() == pytest.approx(number / 4, abs=0.01)


def inks(path: Path) -> tuple[Any, Any]:
    """Where a chart is red, and where it is blue."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(picture, 2, 0)
    return (red - blue > 60) & (red - green > 60), (blue - red > 60) & (blue - green > 20)


@pytest.mark.parametrize("kind", ["raster", "xyt"])
def test_a_chart_of_events_tells_on_from_off_and_early_from_late(tmp_path: Path, kind: str) -> None:
    t = np.arange(0, 1_000_000, 2000)
    x, y = t // 2000 % 12, t // 2000 % 7
    events = Events(t, x, y, t < 500_000, SENSOR)
    path = draw_events(kind, [events], SENSOR, tmp_path / "a.png", count=len(events), span_us=(0, int(t[-1])))
    red, blue = inks(path)
    assert min(red.sum(), blue.sum()) > 300
    assert np.argwhere(red)[:, 1].mean() < np.argwhere(blue)[:, 1].mean()


def test_a_rate_chart_is_higher_where_more_happens(tmp_path: Path) -> None:
    t = np.sort(np.concatenate([np.arange(0, 500_000, 5000), np.arange(500_000, 1_000_000, 500)]))
    zeros = np.zeros(t.size, int)
    events = Events(t, zeros, zeros, np.ones(t.size, bool), SENSOR)
    path = draw_events("rate", [events], SENSOR, tmp_path / "a.png", count=t.size, span_us=(0, 999_999))
    red, _ = inks(path)
    rows, columns = np.nonzero(red)
    middle = red.shape[1] // 2
    before, after = rows[columns < middle - 100], rows[(columns > middle + 100) & (columns < middle + 300)]
    zero = rows.max()
    assert (zero - before.min()) / (zero - after.min()) == pytest.approx(400 / 2000, abs=0.02)


def test_a_chart_of_events_is_a_png(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"a\.gif: a chart of events is written as \.png, not \.gif"):
        draw_events("rate", [], SENSOR, tmp_path / "a.gif", count=0, span_us=(0, 0))


@pytest.mark.parametrize("kind", ["xyt", "raster", "rate"])
def test_no_events_still_give_a_chart(tmp_path: Path, kind: str) -> None:
    assert draw_events(kind, [], SENSOR, tmp_path / "a.png", count=0, span_us=(0, 0)).stat().st_size > 1000


# The page of answers


def rows_to(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_answers(out: Path, names: list[str]) -> Path:
    """A second of `drums`, half a second of nothing certain, and a second of the third class, of each name."""
    layer = {"name": "lif1", "rate": 0.1, "operations": 3e6, "dense_operations": 9e6, "multiplies": False}
    record: dict[str, Any] = {
        "label": 1, "class": CLASSES[1], "probability": 0.8, "certain": False, "probabilities": [0.1, 0.8, 0.1, 0],
        "events": 500, "windows": 25, "segments": 3, "t_first_us": 0, "t_last_us": 2_499_999, "duration_s": 2.5,
        "rates": {"start_us": 0, "bin_us": 100_000, "counts": [30] * 25}, "judged_us": 2_500_000,
        "layers": [layer], "scores": None, "trained_on": "",
        "labels": [[0, 1_000_000, CLASSES[1]], [1_500_000, 2_500_000, CLASSES[2]]],
    }  # fmt: skip
    segments = [
        {"t_start_us": start, "t_end_us": stop, "label": label, "class": name, "probability": 0.8}
        for start, stop, label, name in (
            (0, 1_000_000, 1, CLASSES[1]),
            (1_000_000, 1_500_000, None, "uncertain"),
            (1_500_000, 2_500_000, 2, CLASSES[2]),
        )
    ]
    windows = [
        {"t_from_us": 100_000 * k, "t_to_us": 100_000 * (k + 1), "probabilities": row}
        for k, row in enumerate([[0, 1, 0, 0]] * 10 + [[0.25] * 4] * 5 + [[0, 0.4, 0.6, 0]] * 10)
    ]
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 2_500_000, 500))
    events = Events(t, rng.integers(0, 12, 500), rng.integers(0, 7, 500), rng.integers(0, 2, 500), SENSOR)
    for name in names:
        rows_to(out / name / "windows.jsonl", windows)
        rows_to(out / name / "segments.jsonl", segments)
        write_pictures(out / name, record, [events], SENSOR, CLASSES)
    rows_to(out / "predictions.jsonl", [record | {"file": name, "folder": name} for name in names])
    run = {
        "checkpoint": "best.safetensors", "trained_on": "synthetic <b>", "classes": CLASSES, "sensor": "12x7",
        "window_us": 200_000, "step_us": 20_000, "settings": {"stateful": False, "hop_us": 100_000},
        "versions": {"dvspipe": "0.1.0"},
    }  # fmt: skip
    rows_to(out / "run.json", [run])
    scores = {
        "accuracy": 0.9, "answers": 20, "segment_f1": 1.0, "segments_found": 2, "segments": 2, "labels": 2,
        "median_delay_us": 150_000, "labels_answered": 2, "calibration_error": 0.1,
        "confusion": np.diag([0, 9, 8, 3]).tolist(),
        "calibration": [[10, 10], [5, 9], [6, 9]], "seen_us": [100_000, 200_000], "seen": [[2, 2], [1, 2]],
    }  # fmt: skip
    rows_to(out / "scores.json", [scores])
    return write_answers_page(out)


def test_a_timeline_shows_segments_over_labels_in_their_colours(tmp_path: Path) -> None:
    make_answers(tmp_path, ["a.h5"])
    picture = np.asarray(Image.open(tmp_path / "a.h5" / "timeline.png").convert("RGB")).astype(int)
    ends = []
    for label in (1, 2):
        ink = np.rint(np.multiply(class_colour(label, len(CLASSES)), 255))
        rows, columns = np.nonzero((np.abs(picture - ink) <= 2).all(axis=2))
        assert rows.max() - rows.min() > 60  # two lanes
        ends.append((columns.min(), columns.max()))
    (a, b), (c, d) = ends
    assert (c - b) / (d - a) == pytest.approx(0.5 / 2.5, abs=0.01)
    assert (b - a) == pytest.approx(d - c, abs=4)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.2, "right arm clockwise"), (0.07, "right arm\nclockwise"), (0.01, None), (0.0, None)],
)
def test_a_name_takes_as_many_lines_as_its_bar_is_narrow(share: float, text: str | None) -> None:
    assert in_a_bar("right_arm_clockwise", share) == text


def test_an_overlay_says_what_is_shown_and_lasts_as_long(tmp_path: Path) -> None:
    make_answers(tmp_path, ["a.h5"])
    pictures = webm_pictures(tmp_path / "a.h5" / "overlay.webm")
    assert len(pictures) == 38  # 2.5 s at 15 pictures per second
    bar = 7 * 22 + 20  # 12 pixels are enlarged to at least 256
    shares = [float((np.abs(p[bar].astype(int) - (29, 95, 191)).max(axis=1) < 60).mean()) for p in pictures]
    assert shares[8] == pytest.approx(1, abs=0.05)
    assert shares[18] == pytest.approx(0, abs=0.05)
    assert shares[30] == pytest.approx(0.6, abs=0.05)


def test_the_page_of_answers_loads_nothing_and_escapes_everything(tmp_path: Path) -> None:
    text = make_answers(tmp_path, ["a <b>.h5", "deep/b.h5"]).read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    sources = re.findall(r'src="([^"]*)"', text)
    assert [source.split(";")[0] for source in sources].count("data:video/webm") == 2
    assert all(source.startswith("data:") for source in sources)
    assert "<script" not in text
    assert "<b>" not in text
    assert text.count('<span class="badge">synthetic training data</span>') == 4
    for words in (
        "a &lt;b&gt;.h5",
        "segment F1 at an overlap of 0.5: 1.000",
        "1,200,000",
        "Windows of 200 ms, one every",
    ):
        assert words in text


def test_a_page_plays_videos_that_it_has_no_room_for_from_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ["a.h5", "b #1.h5"]
    make_answers(tmp_path, first)
    monkeypatch.setattr(answers, "MOST_BYTES", (tmp_path / first[0] / "overlay.webm").stat().st_size)
    text = write_answers_page(tmp_path).read_text(encoding="utf-8")
    assert text.count("data:video/webm") == 1
    assert 'src="b%20%231.h5/overlay.webm"></video>' in text


PROBE = """<script>
addEventListener('load', async () => {
  const found = {images: [...document.images].map(image => image.naturalWidth), videos: []};
  found.closed = [...document.querySelectorAll('details')].filter(each => !each.open).length;
  for (const summary of document.querySelectorAll('details:not([open]) > summary')) summary.click();
  found.stillClosed = [...document.querySelectorAll('details')].filter(each => !each.open).length;
  for (const video of document.querySelectorAll('video')) {
    await video.play();
    await new Promise(done => { video.ontimeupdate = () => { if (video.currentTime > 0.1) done(); }; });
    found.videos.push(video.duration);
  }
  found.links = [...document.links].map(link => document.querySelector(link.getAttribute('href')) !== null);
  found.loaded = performance.getEntriesByType('resource').map(e => e.name).filter(name => !name.startsWith('data:'));
  document.body.innerHTML = '<pre id="probe">' + JSON.stringify(found) + '</pre>';
});
</script></body>"""


def test_a_browser_without_network_shows_the_page_of_answers_and_plays_its_overlays(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    page = make_answers(tmp_path, ["a.h5", "deep/b.h5", "c.h5", "d.h5"])
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
    done = subprocess.run(
        [
            chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000000",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--autoplay-policy=no-user-gesture-required",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", probed.as_uri(),
        ],
        capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    match = re.search('<pre id="probe">(.*?)</pre>', done.stdout)
    assert match, done.stdout[-500:] + done.stderr[-500:]
    found = json.loads(unescape(match[1]))
    assert len(found["images"]) == 2 + 4
    assert min(found["images"]) > 300
    assert (found["closed"], found["stillClosed"]) == (1 + 4 + 1, 0)  # the last recording, segments, settings
    assert found["videos"] == pytest.approx([38 / 15] * 4, abs=0.05)
    assert found["links"] == [True] * 4
    assert found["loaded"] == []
