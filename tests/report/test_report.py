"""Previews, charts and pages, read back by independent libraries where possible."""

import base64
import json
import math
import os
import re
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import random_events
from facts import mentions, raises
from jinja2 import UndefinedError
from PIL import Image

from dvspipe.base.errors import ConfigError, EventError, FileError, FormatError
from dvspipe.events import Events, SensorSize
from dvspipe.hooks import RecordingView
from dvspipe.report import (
    PlotKind,
    PlotSource,
    PreviewSettings,
    answers,
    draw_events,
    draw_rasters,
    draw_recording,
    pages,
    training_charts,
    write_answers_page,
    write_preview,
    write_training_page,
    wrong_predictions,
)
from dvspipe.report.pages import environment
from dvspipe.report.painter import Caption
from dvspipe.report.previews import LEGEND_PX
from dvspipe.report.style import new_figure, save_figure, to_hex
from dvspipe.report.timelines import (
    MAX_CLASSES,
    chart_timeline,
    class_colour,
    find_clock,
    fit_in_bar,
    plot_timeline,
)
from dvspipe.report.training_charts import chart_curves, plot_curves
from dvspipe.report.web_charts import show_confusion
from dvspipe.report.wrong_predictions import draw_wrong
from dvspipe.results import (
    ActivityRecord,
    EpochRow,
    EventImage,
    EventRates,
    InferenceRun,
    LabelRow,
    LayerActivity,
    LookRow,
    OutputFolder,
    Prediction,
    RunFolder,
    SegmentRow,
    TestResult,
    TimeScores,
    TrainingRun,
    WindowRow,
    WrongPrediction,
    wilson_interval,
    write_rows,
)
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

SENSOR = SensorSize(width=12, height=7)
SCALE = 27  # the smallest integer factor that makes 12 pixels at least 320
SIZE = (12 * SCALE, 7 * SCALE + 23)  # a strip of 22 pixels for the time, and one to make the height even
SETTINGS = PreviewSettings(window_us=10_000)
RED, BLUE, WHITE = (214, 31, 38), (31, 95, 191), (255, 255, 255)
CLASSES = ["hand wave", "drums", "<script>alert(1)</script>", "$x$ & _y"]


@pytest.fixture
def events() -> Events:
    """Three windows: four ON at (3, 1), four OFF at (5, 2) and four of both at (8, 3); no events; one ON at (0, 0)."""
    rows = [(t, x, y, p) for t in range(0, 4000, 1000) for x, y, p in ((3, 1, 1), (5, 2, 0), (8, 3, 1), (8, 3, 0))]
    t, x, y, p = np.array([*rows, (29_999, 0, 0, 1)]).T + np.array([[1_000_000], [0], [0], [0]])
    return Events(t, x, y, p, SENSOR)


def pixel(image: Any, x: int, y: int) -> tuple[int, ...]:
    """Return the colour at the centre of a sensor pixel in an enlarged RGB picture."""
    return tuple(int(value) for value in np.asarray(image)[y * SCALE + SCALE // 2, x * SCALE + SCALE // 2])


def gif_pictures(path: Path) -> list[Any]:
    with Image.open(path) as image:
        pictures: list[Any] = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            pictures.append(np.asarray(image.convert("RGB")))
    return pictures


def webm_pictures(path: Path) -> list[Any]:
    capture = cv2.VideoCapture(str(path))
    pictures: list[Any] = []
    while len(pictures) < 1000:
        ok, image = capture.read()
        if not ok:
            break
        pictures.append(image[:, :, ::-1])
    capture.release()
    return pictures


@pytest.mark.parametrize(
    ("name", "read", "tolerance"),
    [("a.gif", gif_pictures, 0), ("a.webm", webm_pictures, 30), ("a.mp4", webm_pictures, 30)],
)
def test_preview_shows_one_picture_per_window_in_polarity_colours(
    tmp_path: Path, events: Events, name: str, read: Any, tolerance: int
) -> None:
    pictures = read(write_preview([events], SENSOR, tmp_path / name, SETTINGS))
    assert [picture.shape[1::-1] for picture in pictures] == [SIZE] * 3
    seen = [pixel(pictures[0], 3, 1), pixel(pictures[0], 5, 2), pixel(pictures[0], 8, 3), pixel(pictures[1], 3, 1)]
    assert np.abs(np.subtract(seen, [RED, BLUE, WHITE, WHITE])).max() <= tolerance
    pale_red = np.add(WHITE, 0.6 * np.subtract(RED, WHITE)).round()  # one event
    assert np.abs(pixel(pictures[2], 0, 0) - pale_red).max() <= tolerance
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_gif_loops_without_drift_of_durations(tmp_path: Path) -> None:
    t = np.arange(0, 1_000_000, 1000)
    events = Events(t, t % 12, t % 7, t % 2, SENSOR)
    path = write_preview([events], SENSOR, tmp_path / "a.gif")
    durations = []
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            durations.append(image.info["duration"])
    assert set(durations) == {30, 40}
    assert sum(durations) == pytest.approx(len(durations) * 33.333, abs=5)


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_preview_does_not_depend_on_chunk_size(tmp_path: Path, events: Events, length: int, suffix: str) -> None:
    parts = [events.between(start, start + 1000 * length) for start in range(1_000_000, 1_030_000, 1000 * length)]
    assert sum(map(len, parts)) == len(events)
    span = (int(events.t[0]), int(events.t[-1]))
    complete = write_preview([events], SENSOR, tmp_path / f"complete{suffix}", SETTINGS)
    streamed = write_preview(iter(parts), SENSOR, tmp_path / f"parts{suffix}", SETTINGS, span_us=span)
    assert streamed.read_bytes() == complete.read_bytes()


def test_sheet_shows_twelve_windows_from_first_to_last(tmp_path: Path, events: Events) -> None:
    with Image.open(write_preview([events], SENSOR, tmp_path / "a.png", SETTINGS)) as image:
        sheet = np.asarray(image)
    assert sheet.shape == (3 * (SIZE[1] + 8) + 8 + LEGEND_PX, 4 * (SIZE[0] + 8) + 8, 3)
    first, last = sheet[8:, 8:], sheet[2 * (SIZE[1] + 8) + 8 :, 3 * (SIZE[0] + 8) + 8 :]
    assert pixel(first, 3, 1) == RED
    assert pixel(first, 5, 2) == BLUE
    assert pixel(last, 3, 1) == WHITE
    assert pixel(last, 0, 0) != WHITE


@pytest.mark.parametrize("colours", ["light", "dark", "colour-blind"])
def test_on_off_and_background_differ_in_every_colour_scheme(tmp_path: Path, events: Events, colours: str) -> None:
    settings = PreviewSettings(window_us=10_000, colours=colours)  # type: ignore[arg-type]
    picture = gif_pictures(write_preview([events], SENSOR, tmp_path / "a.gif", settings))[0]
    on, off, nothing = pixel(picture, 3, 1), pixel(picture, 5, 2), pixel(picture, 0, 6)
    assert min(np.abs(np.subtract(a, b)).max() for a, b in ((on, off), (on, nothing), (off, nothing))) > 100


@pytest.mark.parametrize(
    ("name", "read"), [("a.gif", gif_pictures), ("a.webm", webm_pictures), ("a.png", gif_pictures)]
)
def test_preview_without_events_is_a_blank_picture(tmp_path: Path, name: str, read: Any) -> None:
    for chunks in ([], [Events.empty(SENSOR)]):
        assert len(read(write_preview(chunks, SENSOR, tmp_path / name))) == 1


def test_large_odd_sensor_is_not_enlarged_and_gets_even_sides(tmp_path: Path) -> None:
    sensor = SensorSize(width=347, height=261)
    pictures = webm_pictures(write_preview([], sensor, tmp_path / "a.webm"))
    assert pictures[0].shape == (284, 348, 3)


@pytest.mark.parametrize("name", ["a.avi", "a"])
def test_unknown_preview_suffix_lists_the_supported_ones(tmp_path: Path, events: Events, name: str) -> None:
    with raises(FileError, name, ".webm", ".mp4", ".gif", ".png"):
        write_preview([events], SENSOR, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.gif", "a.webm", "a.png"])
def test_failed_preview_leaves_the_folder_unchanged(tmp_path: Path, events: Events, name: str) -> None:
    (tmp_path / name).write_text("before")

    def broken() -> Iterator[Events]:
        yield events
        raise RuntimeError("the recording ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        write_preview(broken(), SENSOR, tmp_path / name, SETTINGS)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_chunk_of_another_sensor_is_an_error(tmp_path: Path) -> None:
    with raises(EventError, "13x7", "12x7"):
        write_preview([Events.empty(SensorSize(width=13, height=7))], SENSOR, tmp_path / "a.gif")


def test_file_in_place_of_the_output_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "nowhere").touch()
    with raises(FileError, tmp_path / "nowhere", "is not a folder"):
        write_preview([], SENSOR, tmp_path / "nowhere" / "a.gif")


def test_charts_accept_one_epoch_missing_values_and_any_name(tmp_path: Path) -> None:
    row = make_epoch(1, val_loss=math.nan, val_accuracy=math.nan, rates={"_$x": 0.1})
    for rows in ([row], []):
        save_figure(plot_curves(rows, chosen_epoch=1), tmp_path / "curves.png")
        charts = [chart.to_html() for chart in chart_curves(rows, 1)]
        assert len(charts) == 2 + len(rows)
        assert "nan" not in "".join(charts)


SAMPLES = 20
LAYERS = (
    LayerActivity(
        name="lif1",
        neurons=1000,
        connections=50_000,
        fan_out=250.0,
        steps=3 * SAMPLES,
        spikes_in=80.0 * SAMPLES,
        rate=0.0125,
        multiplies=False,
    ),
    LayerActivity(
        name="readout",
        neurons=4,
        connections=4000,
        fan_out=4.0,
        steps=3 * SAMPLES,
        spikes_in=37.5 * SAMPLES,
        rate=None,
        multiplies=False,
    ),
)


ACTIVITY = ActivityRecord(
    step_us=20_000,
    steps=3,
    recordings=SAMPLES,
    layers=LAYERS,
)


def make_epoch(epoch: int, **changes: Any) -> EpochRow:
    values = {
        "train_loss": 1.5,
        "train_accuracy": 0.4,
        "val_loss": 1.4,
        "val_accuracy": 0.5,
        "learning_rate": 0.001,
        "seconds": 9.5,
        "rates": {"conv1": 0.1},
    }
    return EpochRow.model_validate({"epoch": epoch} | values | changes)


def make_run(folder: Path, activity: ActivityRecord = ACTIVITY, **changes: Any) -> TrainingRun:
    values = {
        "title": "Four gestures",
        "synthetic": False,
        "synthetic_test": False,
        "data": "20 clips of people whom the training never saw",
        "chosen_epoch": 2,
        "val_accuracy": 0.9,
        "classes": CLASSES,
        "confusion": [[5, 0, 0, 0], [1, 4, 0, 0], [0, 1, 3, 1], [0, 0, 0, 5]],
        "calibration_error": 0.1,
        "temperature": 1.2,
        "findings": ["a < b"],
        "command": "dvspipe train four seed=1",
        "versions": {"dvspipe": "0.1.0"},
        "machine": {"Python": "3.12.1", "processor": "<i>"},
    }
    folder.mkdir(exist_ok=True)
    return TrainingRun(
        folder=RunFolder(folder),
        settings="seed: 1\nnetwork:\n  name: '<b>'\n",
        epochs=(make_epoch(1), make_epoch(2, val_loss=math.nan, val_accuracy=0.9)),
        test=TestResult.model_validate(values | changes),
        activity=activity,
    )


def write_run(run: TrainingRun) -> RunFolder:
    """Write the records that `TrainingRun.read` needs."""
    run.folder.config.write_text(run.settings)
    write_rows(run.epochs, EpochRow, run.folder.epochs, run.folder.epochs_csv)
    run.test.write(run.folder.test)
    run.activity.write(run.folder.activity)
    return run.folder


def read_text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def training_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_page(make_run(tmp_path_factory.mktemp("run")))


def test_training_page_shows_the_results(training_page: Path) -> None:
    text = read_text(training_page)
    assert mentions(text, "85.00 %", "17 of 20", "63.96", "94.76", "epoch 2", "90.00 %")
    assert mentions(text, "20 clips of people", "seed=1", "dvspipe 0.1.0", "Python 3.12.1", "2 epochs", "19 s")
    # drums: 4 of 5 predicted are right, 4 of 5 are found
    assert "<td>drums</td><td>80.0</td><td>80.0</td><td>80.0</td><td>5</td>" in text
    assert "ynthetic" not in text
    assert text.count("<h1>Four gestures</h1>") == text.count("<title>Four gestures</title>") == 1
    assert {path.name for path in training_page.parent.iterdir()} == {"report.html"}


def test_training_page_is_self_contained_and_escaped(training_page: Path) -> None:
    text = read_text(training_page)
    assert "http://" not in text
    assert "https://" not in text
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "<script" not in text
    assert "<b>" not in text
    assert "<i>" not in text
    for name in ("hand wave", "drums", "&lt;script&gt;alert(1)&lt;/script&gt;", "$x$ &amp;  y", "a &lt; b"):
        assert name in text


def test_page_of_a_run_read_from_disk_is_the_same(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    page = write_training_page(run).read_bytes()
    run.folder.report.unlink()
    assert write_training_page(TrainingRun.read(write_run(run))).read_bytes() == page


def cells(text: str, first: str) -> list[str]:
    """Return the remaining cells of the table row that begins with `first`."""
    (row,) = re.findall(rf"<tr><td[^>]*>{re.escape(first)}</td>(.*?)</tr>", text)
    return re.findall(r"<td[^>]*>(.*?)</td>", row)


def test_energy_is_operations_times_cost(training_page: Path) -> None:
    """20,150 additions of 0.9 pJ, 3 x 1004 membrane updates and 54,000 multiply-accumulates of 4.6 pJ."""
    text = read_text(training_page)
    assert cells(text, "lif1") == ["1,000", "0.0125", "80", "250", "150,000", "20,000", "13.3 %", "18 nJ"]
    assert cells(text, "readout") == ["4", "–", "38", "4", "12,000", "150", "1.2 %", "135 pJ"]
    synapses, relu = 20_150 * 0.9, 54_000 * 4.6
    both = synapses + 3012 * 4.6
    assert cells(text, "Total")[-3:] == ["20,150", "12.4 %", f"{synapses / 1e3:.3g} nJ"]
    for energy, ratio in ((synapses, synapses / relu), (both, both / relu), (relu, 1), (3 * relu, 3)):
        assert f">{energy / 1e3:.3g} nJ</td><td>{ratio:.2f}</td>" in re.sub("<td[^>]*>", "<td>", text)
    assert "Horowitz" in text


def test_inputs_other_than_counts_need_multiplications(tmp_path: Path) -> None:
    layers = (LAYERS[0].model_copy(update={"multiplies": True}), *LAYERS[1:])
    text = read_text(write_training_page(make_run(tmp_path, ACTIVITY.model_copy(update={"layers": layers}))))
    assert cells(text, "lif1")[-1] == "92 nJ"  # 20,000 of 4.6 pJ
    assert cells(text, "Total")[-1] == "92.1 nJ"


def test_file_name_outside_utf8_is_escaped_in_titles(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.h5")
    save_figure(plot_curves([], title=name), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size
    assert new_figure(2, 1, name).get_suptitle() == r"\udcff.h5"


def test_accuracy_is_compared_with_chance(training_page: Path) -> None:
    low, high = wilson_interval(17, 20)
    plain = re.sub("<td[^>]*>", "<td>", read_text(training_page))
    for cell in (f"85.00</td><td>{100 * low:.2f} to {100 * high:.2f}", "25.00"):  # 25.00: chance
        assert f"<td>{cell}</td>" in plain


def test_page_labels_synthetic_data_once(tmp_path: Path) -> None:
    kinds = {
        (True, True): "synthetic data",
        (True, False): "synthetic training data",
        (False, True): "synthetic test data",
    }
    for (train, test), kind in kinds.items():
        run = make_run(tmp_path, synthetic=train, synthetic_test=test)
        assert run.test.kind_of_data == kind
    text = read_text(write_training_page(run))
    assert '<h1>Four gestures <span class="badge">synthetic test data</span></h1>' in text
    assert text.count('<span class="badge">') == 1  # pictures have it in their titles, because they may be copied


def test_previews_are_embedded_in_the_page(tmp_path: Path, events: Events) -> None:
    gif = write_preview([events], SENSOR, tmp_path / "a.gif", SETTINGS)
    webm = write_preview([events], SENSOR, tmp_path / "a.webm", SETTINGS)
    run = make_run(tmp_path / "run")
    text = read_text(write_training_page(run, [('A "wave"', gif), ("The same", webm)]))
    for path, attributes in ((gif, 'alt="A &#34;wave&#34;" '), (webm, 'aria-label="The same" ')):
        content = re.search(rf'{attributes}src="data:[a-z]+/[a-z]+;base64,([^"]*)"', text)
        assert content
        assert base64.b64decode(content[1]) == path.read_bytes()
    assert '<img alt="A &#34;wave&#34;" src="data:image/gif;base64,' in text
    assert '<video controls loop muted playsinline aria-label="The same" src="data:video/webm;base64,' in text
    before = run.folder.report.read_bytes()
    for name, message in (("a.mp4", ".webm"), ("b.gif", ())):
        with raises(FileError, name, message):
            write_training_page(run, [("", tmp_path / name)])
    assert run.folder.report.read_bytes() == before


@pytest.mark.parametrize("name", ["args.yaml", "metrics.jsonl", "test.json", "activity.json"])
def test_missing_or_invalid_record_is_named(tmp_path: Path, name: str) -> None:
    folder = write_run(make_run(tmp_path))
    if name != "args.yaml":  # shown as text
        (tmp_path / name).write_text('{"epoch": "low"}\n')
        with raises(FormatError, name):
            TrainingRun.read(folder)
    (tmp_path / name).unlink()
    with raises(FileError, name):
        TrainingRun.read(folder)


@pytest.mark.parametrize("speed", [0.25, 2.0])
def test_speed_shortens_the_preview(tmp_path: Path, events: Events, speed: float) -> None:
    write_preview([events], SENSOR, tmp_path / "a.webm", PreviewSettings(window_us=50_000, speed=speed))
    capture = cv2.VideoCapture(str(tmp_path / "a.webm"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(20 * speed, rel=0.01)
    capture.release()


@pytest.mark.parametrize("size", [(1, 3), (9, 12)])  # as lines, as a picture
def test_raster_shows_the_spikes_of_each_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    image = np.full(size, 0.9)
    early = np.zeros((40, 1, *size), np.uint8)
    early[:20] = 1
    draw_rasters({"early": early, "late": early[::-1]}, image, tmp_path / "a.png", step_us=1000)
    picture = cv2.imread(str(tmp_path / "a.png"))
    dark = (picture.max(axis=2) < 80).sum(axis=0)
    ((a, b), (c, d)) = (np.array_split(panel, 2) for panel in np.array_split(dark[round(0.2 * len(dark)) :], 2))
    assert min(a.sum(), d.sum()) > 3 * max(b.sum(), c.sum())


@pytest.mark.parametrize(("polarity", "strong", "weak"), [(0, 0, 2), (1, 2, 0)])  # OFF blue, ON red; OpenCV reads BGR
def test_raster_distinguishes_on_from_off(tmp_path: Path, polarity: int, strong: int, weak: int) -> None:
    trains = np.zeros((40, 2, 1, 3), np.uint8)
    trains[:, polarity] = 1
    draw_rasters({"delta": trains}, np.ones((1, 3)), tmp_path / "a.png", step_us=1)
    picture = cv2.imread(str(tmp_path / "a.png")).astype(int)
    assert (picture[..., strong] - picture[..., weak] > 100).any()
    assert not (picture[..., weak] - picture[..., strong] > 100).any()


def test_too_many_spike_trains_for_a_picture_are_an_error(tmp_path: Path) -> None:
    with raises(ConfigError, "hsa", "4,225", "65x65", "4,096", "resize="):
        draw_rasters({"hsa": np.zeros((5, 1, 65, 65), np.uint8)}, np.ones((65, 65)), tmp_path / "a.png", step_us=1)
    assert not list(tmp_path.iterdir())


# More ways to show events


def one_event(t_us: int = 0, x: int = 3, y: int = 1, on: bool = True) -> Events:
    return Events([t_us], [x], [y], [on], SENSOR)


def share_of(shown: tuple[int, ...], ink: tuple[int, int, int]) -> float:
    """Return the share of an ink in a colour on white."""
    return float(np.mean([(255 - a) / (255 - b) for a, b in zip(shown, ink, strict=True)]))


@pytest.mark.parametrize(("mode", "strength"), [("surface", lambda w: w), ("decay", lambda w: 1 - np.exp(-w))])
def test_events_fade_with_age(tmp_path: Path, mode: Any, strength: Any) -> None:
    parts = [one_event(0), one_event(50_000, x=5, y=2, on=False)]
    settings = PreviewSettings(window_us=20_000, fps=100, mode=mode)  # a picture every 10 ms, the first at 10 ms
    pictures = gif_pictures(write_preview(parts, SENSOR, tmp_path / "a.gif", settings))
    assert len(pictures) == 6
    for number, picture in enumerate(pictures):
        left = strength(np.exp(-(number + 1) / 2))
        assert share_of(pixel(picture, 3, 1), RED) == pytest.approx(left, abs=0.04)
    assert share_of(pixel(pictures[-1], 5, 2), BLUE) == pytest.approx(strength(np.exp(-0.5)), abs=0.04)


def test_surface_shows_the_last_event_and_decay_the_sum(tmp_path: Path) -> None:
    events = Events([0, 1, 2], [3, 3, 3], [1, 1, 1], [1, 1, 0], SENSOR)
    for mode, ink, share in (("surface", BLUE, 1), ("decay", RED, 1 - np.exp(-1))):
        settings = PreviewSettings.model_validate({"window_us": 10**6, "fps": 100, "mode": mode})
        picture = gif_pictures(write_preview([events], SENSOR, tmp_path / f"{mode}.gif", settings))[0]
        assert share_of(pixel(picture, 3, 1), ink) == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("colours", ["viridis", "inferno", "grey"])
def test_colour_maps_show_on_and_off_alike(tmp_path: Path, events: Events, colours: Any) -> None:
    settings = PreviewSettings(window_us=10_000, colours=colours)
    picture = gif_pictures(write_preview([events], SENSOR, tmp_path / "a.gif", settings))[0]
    on, off, nothing = pixel(picture, 3, 1), pixel(picture, 5, 2), pixel(picture, 0, 6)
    assert on == off
    assert sum(on) > sum(nothing) + 200


def test_number_of_pictures_follows_speed_and_fps(tmp_path: Path) -> None:
    """One second at twice the speed and 20 pictures per second gives ten pictures."""
    events = Events([0, 999_999], [0, 1], [0, 0], [1, 1], SENSOR)
    path = write_preview([events], SENSOR, tmp_path / "a.gif", PreviewSettings(speed=2, fps=20))
    assert len(gif_pictures(path)) == 10
    with Image.open(path) as image:
        assert image.info["duration"] == 50


def test_long_pause_is_shortened_on_request(tmp_path: Path) -> None:
    events = Events([0, 3_600_000_000], [0, 1], [0, 0], [1, 1], SENSOR)
    settings = PreviewSettings(window_us=100_000, skip_pauses=True)
    assert len(gif_pictures(write_preview([events], SENSOR, tmp_path / "a.gif", settings))) == 12


def test_large_sensor_is_reduced(tmp_path: Path) -> None:
    sensor = SensorSize(width=90, height=30)
    events = Events([0] * 4, [31] * 4, [17] * 4, [1] * 4, sensor)
    settings = PreviewSettings(max_side_px=30, min_side_px=1)
    picture = gif_pictures(write_preview([events], sensor, tmp_path / "a.gif", settings))[0]
    assert picture.shape[:2] == (10 + 22, 30)
    ((row, column),) = np.argwhere((picture[:10] == RED).all(axis=2))
    assert (row, column) == (17 // 3, 31 // 3)


def test_video_is_shown_beside_the_events(tmp_path: Path, events: Events) -> None:
    """The video is dark for the first 15 ms of the recording, then bright."""
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


@pytest.mark.parametrize("name", ["a.gif", "a.webm", "a.png"])
def test_video_beside_the_events_keeps_its_colours(name: str, tmp_path: Path, events: Events) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(3):
        Image.new("RGB", (24, 14), (200, 60, 20)).save(tmp_path / "frames" / f"{number}.png")
    path = write_preview([events], SENSOR, tmp_path / name, SETTINGS, beside=tmp_path / "frames")
    picture = webm_pictures(path)[0]  # OpenCV also reads the others
    assert picture[40:90, 40:90].mean(axis=(0, 1)) == pytest.approx((200, 60, 20), abs=15)


def test_sheet_has_a_colour_legend(tmp_path: Path, events: Events) -> None:
    for mode in ("count", "surface", "decay"):
        settings = PreviewSettings(window_us=10_000, mode=mode)
        legend = np.asarray(Image.open(write_preview([events], SENSOR, tmp_path / "a.png", settings)))[-LEGEND_PX:]
        for colour in (RED, BLUE, WHITE):
            assert (legend == colour).all(axis=2).sum() > 100


def test_xyt_chart_has_no_empty_margins(tmp_path: Path) -> None:
    source = source_of([random_events(0, 300)])
    drawn = np.asarray(Image.open(draw_events("xyt", source, tmp_path / "a.png", title="a")).convert("L")) < 200
    for axis in (0, 1):
        inked = np.flatnonzero(drawn.any(axis=axis))
        assert 0 < inked[0] < 80  # nothing is cut off
        assert 0 < drawn.shape[1 - axis] - inked[-1] < 80


def test_caption_bar_is_as_long_as_its_share(tmp_path: Path, events: Events) -> None:
    path = write_preview(
        [events], SENSOR, tmp_path / "a.gif", SETTINGS, captions=lambda t_us: Caption("x", (t_us - 1_000_000) / 40_000)
    )
    for number, picture in enumerate(gif_pictures(path), start=1):
        bar = picture[7 * SCALE + 21]
        assert (bar == (29, 95, 191)).all(axis=1).mean() == pytest.approx(number / 4, abs=0.01)


def source_of(chunks: list[Events]) -> PlotSource:
    ends = [int(time) for part in chunks for time in (part.t[0], part.t[-1])]
    span_us = (ends[0], ends[-1]) if ends else (0, 0)
    return PlotSource(chunks, SENSOR, sum(map(len, chunks)), span_us)


def inks(path: Path) -> tuple[Any, Any]:
    """Return masks of the red and the blue pixels of a chart."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(picture, 2, 0)
    return (red - blue > 60) & (red - green > 60), (blue - red > 60) & (blue - green > 20)


@pytest.mark.parametrize("kind", ["raster", "xyt"])
def test_event_chart_distinguishes_polarity_and_time(tmp_path: Path, kind: PlotKind) -> None:
    t = np.arange(0, 1_000_000, 2000)
    x, y = t // 2000 % 12, t // 2000 % 7
    events = Events(t, x, y, t < 500_000, SENSOR)
    path = draw_events(kind, source_of([events]), tmp_path / "a.png")
    red, blue = inks(path)
    assert min(red.sum(), blue.sum()) > 300
    assert np.argwhere(red)[:, 1].mean() < np.argwhere(blue)[:, 1].mean()


def test_rate_chart_is_higher_with_more_events(tmp_path: Path) -> None:
    t = np.sort(np.concatenate([np.arange(0, 500_000, 5000), np.arange(500_000, 1_000_000, 500)]))
    zeros = np.zeros(t.size, int)
    events = Events(t, zeros, zeros, np.ones(t.size, bool), SENSOR)
    path = draw_events("rate", source_of([events]), tmp_path / "a.png")
    red, _ = inks(path)
    rows, columns = np.nonzero(red)
    middle = red.shape[1] // 2
    before, after = rows[columns < middle - 100], rows[(columns > middle + 100) & (columns < middle + 300)]
    zero = rows.max()
    assert (zero - before.min()) / (zero - after.min()) == pytest.approx(400 / 2000, abs=0.02)


def test_event_chart_is_a_png(tmp_path: Path) -> None:
    with raises(FileError, "a.gif", ".gif", ".png"):
        draw_events("rate", source_of([]), tmp_path / "a.gif")


@pytest.mark.parametrize("kind", ["xyt", "raster", "rate"])
def test_chart_without_events_is_drawn(tmp_path: Path, kind: PlotKind) -> None:
    assert draw_events(kind, source_of([]), tmp_path / "a.png").stat().st_size > 1000


# The page of answers

SCORES = TimeScores(
    confusion=((0, 0, 0, 0), (0, 8, 2, 0), (0, 0, 7, 0), (0, 0, 0, 3)),
    segments_found=2,
    segments=2,
    labels=2,
    delays_us=(100_000, 200_000),
)
RUN = InferenceRun(
    checkpoint="best.safetensors",
    network="0" * 64,
    trained_on="synthetic <b>",
    classes=CLASSES,  # type: ignore[arg-type]
    sensor="12x7",
    window_us=200_000,
    step_us=20_000,
    hop_us=100_000,
    stateful=False,
    settings={"hop_us": 100_000},
    versions={"dvspipe": "0.1.0"},
)


def make_prediction(name: str, **changes: Any) -> Prediction:
    layer = LayerActivity(
        name="lif1",
        neurons=100,
        connections=720,
        fan_out=250.0,
        steps=125,
        spikes_in=12_000.0,
        rate=0.1,
        multiplies=False,
    )
    values = {
        "file": name,
        "folder": name,
        "label": 1,
        "class": CLASSES[1],
        "probability": 0.8,
        "certain": False,
        "probabilities": [0.1, 0.8, 0.1, 0],
        "events": 500,
        "windows": 25,
        "segments": make_segments(),
        "t_first_us": 0,
        "t_last_us": 2_499_999,
        "rates": EventRates(start_us=0, bin_us=100_000, counts=(30,) * 25),
        "classified_us": 2_500_000,
        "layers": [layer],
        "trained_on": "",
        "labels": [
            LabelRow(t_start_us=0, t_end_us=1_000_000, class_name=CLASSES[1]),
            LabelRow(t_start_us=1_500_000, t_end_us=2_500_000, class_name=CLASSES[2]),
        ],
    }
    return Prediction.model_validate(values | changes)


def make_segments() -> tuple[SegmentRow, ...]:
    """One second of `drums`, half a second without a certain class, and one second of the third class."""
    return tuple(
        SegmentRow(t_start_us=start_us, t_end_us=end_us, label=label, class_name=name, probability=0.8)
        for start_us, end_us, label, name in (
            (0, 1_000_000, 1, CLASSES[1]),
            (1_000_000, 1_500_000, None, "uncertain"),
            (1_500_000, 2_500_000, 2, CLASSES[2]),
        )
    )


def make_windows() -> tuple[WindowRow, ...]:
    rows: list[tuple[int, tuple[float, ...]]] = [
        *[(1, (0, 1, 0, 0))] * 10,
        *[(0, (0.25,) * 4)] * 5,
        *[(2, (0, 0.4, 0.6, 0))] * 10,
    ]
    return tuple(
        WindowRow(
            t_start_us=100_000 * k,
            t_end_us=100_000 * (k + 1),
            label=label,
            class_name=CLASSES[label],
            probability=max(row),
            entropy=0.0,
            events=20,
            probabilities=row,
            t_from_us=100_000 * k,
            t_to_us=100_000 * (k + 1),
        )
        for k, (label, row) in enumerate(rows)
    )


def draw_all(folder: OutputFolder, names: list[str], **changes: Any) -> list[Prediction]:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 2_500_000, 500))
    events = Events(t, rng.integers(0, 12, 500), rng.integers(0, 7, 500), rng.integers(0, 2, 500), SENSOR)
    results = [make_prediction(name, **changes) for name in names]
    for result in results:
        files = folder.of(result.folder)
        draw_recording(files, result, make_windows(), RecordingView(SENSOR, [events]))
    return results


def make_answers(out: Path, names: list[str]) -> Path:
    folder = OutputFolder(out)
    return write_answers_page(folder, RUN, draw_all(folder, names), SCORES)


@pytest.fixture(scope="module")
def answers_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a recording, a.h5."""
    return make_answers(tmp_path_factory.mktemp("answers"), ["a.h5"])


def test_timeline_shows_segments_above_labels_in_class_colours(answers_page: Path) -> None:
    text = answers_page.read_text(encoding="utf-8")
    bars = re.findall(r'<span style="left:([0-9.]+)%;width:([0-9.]+)%;background:(#[0-9a-f]{6})"', text)
    for label in (1, 2):
        red, green, blue = (round(255 * share) for share in class_colour(label, len(CLASSES)))
        colour = to_hex((red, green, blue))
        ends = [(float(left), float(left) + float(width)) for left, width, ink in bars if ink == colour]
        assert len(ends) == 2  # predicted, and labels
        assert f'<i style="background:{colour}"></i>{escape(CLASSES[label])}' in text


def test_timeline_and_page_label_synthetic_recordings(tmp_path: Path) -> None:
    for synthetic in (True, False):
        result = make_prediction("a.h5", synthetic=synthetic)
        for title in ("", "by day"):
            shown = plot_timeline(result, make_windows(), CLASSES, title).get_suptitle()
            assert ("synthetic" in shown) == synthetic
            assert title in shown
        files = OutputFolder(tmp_path).of("a.h5")
        draw_recording(files, result, make_windows(), RecordingView(SENSOR, [random_events(0, 100, SENSOR, 2_500_000)]))
        text = read_text(write_answers_page(OutputFolder(tmp_path), RUN, [result], None))
        assert text.count("a.h5 (synthetic)") == text.count("a.h5</a> (synthetic)") == synthetic
        assert text.count("Synthetic recording") == 2 * synthetic  # a caption, also as alternative text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.2, "right arm clockwise"), (0.07, "right arm\nclockwise"), (0.01, None), (0.0, None)],
)
def test_class_name_wraps_to_fit_its_bar(share: float, text: str | None) -> None:
    assert fit_in_bar("right_arm_clockwise", share) == text


def test_overlay_shows_the_prediction_in_real_time(answers_page: Path) -> None:
    pictures = webm_pictures(answers_page.parent / "a.h5" / "overlay.webm")
    assert len(pictures) == 38  # 2.5 s at 15 pictures per second
    bar = 7 * 22 + 20  # 12 pixels are enlarged to at least 256
    shares = [float((np.abs(p[bar].astype(int) - (127, 176, 245)).max(axis=1) < 60).mean()) for p in pictures]
    assert shares[8] == pytest.approx(1, abs=0.05)
    assert shares[18] == pytest.approx(0, abs=0.05)
    assert shares[30] == pytest.approx(0.6, abs=0.05)


def test_overlay_shows_the_video_with_prediction_and_region_left_of_the_events(tmp_path: Path) -> None:
    rows = (LookRow(t_us=None, left=-2, top=1, width=6, height=5),)
    result = make_prediction("a.h5", picture="12x7", looked_at=rows)
    files, events = OutputFolder(tmp_path).of("a.h5"), random_events(0, 500, SENSOR, 2_500_000)
    frames = ((k * 100_000, np.full((70, 120, 3), 200, np.uint8)) for k in range(25))
    draw_recording(files, result, make_windows(), RecordingView(SENSOR, [events], frames))
    picture = webm_pictures(files.overlay)[8].astype(int)
    height = 7 * 22  # 12 pixels are enlarged to at least 256
    frame = picture[:height, : picture.shape[1] // 2]
    assert frame[2, -40:-2].mean() == pytest.approx(200, abs=8)
    assert frame[height - 12 :, :4].mean() < 150  # the prediction is on a darker band
    for right in (frame, picture[:height, picture.shape[1] // 2 :]):
        assert np.abs(right[60, 86:89] - (127, 176, 245)).max(axis=1).min() < 60  # edge of the region
    with Image.open(files.region) as region:
        assert region.width / region.height == pytest.approx((120 + 20) / 70, abs=0.02)  # with a margin on the left
    draw_recording(files, make_prediction("a.h5"), make_windows(), RecordingView(SENSOR, [events]))
    assert not files.region.exists()  # a complete picture


def test_region_of_events_is_a_picture_on_the_page(tmp_path: Path) -> None:
    rows = (LookRow(t_us=None, left=2, top=1, width=6, height=5),)
    result = make_prediction("a.h5", picture="12x7", looked_at=rows)
    events = random_events(0, 500, SENSOR, 2_500_000)
    draw_recording(OutputFolder(tmp_path).of("a.h5"), result, make_windows(), RecordingView(SENSOR, [events]))
    text = read_text(write_answers_page(OutputFolder(tmp_path), RUN, [result], None))
    assert re.search('<img class="region" alt="[^"]*6x5[+]2[+]1[^"]*" title="[^"]*" src="data:image/jpeg', text)


def test_page_of_one_recording_begins_with_the_answer(answers_page: Path) -> None:
    text = read_text(answers_page)
    parts = ['class="guess"', 'class="bars"', "<video", "<img", "data-start", 'href="#r0"', "<pre>"]
    places = [text.index(part, text.index("<main>")) for part in parts]
    assert places == sorted(places)
    shares = [float(share) for share in re.findall(r"width:([\d.]+)%", text)]
    assert shares[:4] == [80, 10, 10, 0]


def test_classification_page_is_self_contained_and_escaped(tmp_path: Path) -> None:
    text = read_text(make_answers(tmp_path, ["a <b>.h5", "deep/b.h5"]))
    assert "http://" not in text
    assert "https://" not in text
    sources = re.findall(r'src="([^"]*)"', text)
    assert [source.split(";")[0] for source in sources].count("data:video/webm") == 2
    assert all(source.startswith("data:") for source in sources)
    assert text.count("<script") == 1  # the script of the page
    assert "<b>" not in text
    assert text.count('<span class="badge">synthetic training data</span>') == 1
    assert mentions(text, "2 recordings", "a &lt;b&gt;.h5", "90.0%", "1.000", "150 ms", "10.0%", "1,200,000")
    assert mentions(text, "200 ms", "100 ms", "20 ms")


def test_names_with_markup_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)<"  # no slash: file names cannot have one
    folder = OutputFolder(tmp_path)
    results = draw_all(folder, [f"{evil}.h5"], scores=SCORES, **{"class": CLASSES[2], "label": 2})
    run = RUN.model_copy(update={"checkpoint": evil, "trained_on": evil, "settings": {evil: evil}})
    text = read_text(write_answers_page(folder, run, results, SCORES))
    assert text.count("<script") == 1
    for words in (
        f"{escape(evil)}.h5</a>",
        escape(CLASSES[2]),
        f"<p>{escape(evil)}, for a sensor",
        f"trained on {escape(evil)}",
    ):
        assert words in text
    training = make_run(tmp_path / "run", title=evil, data=evil, command=evil, findings=[evil])
    text = read_text(write_training_page(training))
    assert "<script" not in text
    assert text.count(escape(evil)) >= 5


def test_classification_energy_is_per_second_of_classified_time(tmp_path: Path) -> None:
    """Two recordings of 2.5 s, each with 3 million additions of 0.9 pJ and 90,000 multiply-accumulates of 4.6 pJ."""
    text = read_text(make_answers(tmp_path, ["a.h5", "b.h5"]))
    assert cells(text, "lif1")[:-2] == ["100", "0.1000", "4,800", "250", "36,000", "1,200,000"]
    assert cells(text, "Total")[-1] == "1.08 µJ"
    assert ">166 nJ</td>" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": None},
        {"layers": ()},
        {"classified_us": 0},
        {"certain": True, "reason": "", "t_start_us": 5, "t_end_us": 1_000_005},
    ],
)
def test_classification_page_works_without_labels_scores_pictures_or_layers(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    run = RUN.model_copy(update={"stateful": True, "hop_us": None, "trained_on": "recordings"})
    result = make_prediction("a.h5", **({"reason": "too small", "warnings": ("repeated to 3.36 s",)} | changes))
    text = read_text(write_answers_page(OutputFolder(tmp_path), run, [result], None))
    assert "<h2>Scores" not in text
    assert "<video" not in text
    assert "ynthetic" not in text
    assert mentions(text, "200 ms")
    assert ("perhaps drums" in text) == (not result.certain)
    assert ("too small" in text) == (not result.certain)
    assert "repeated to 3.36 s" in text


def test_page_shows_the_classified_region_unless_complete(tmp_path: Path) -> None:
    look = LookRow(t_us=None, left=53, top=4, width=82, height=82)
    moved = look.model_copy(update={"t_us": 1000, "left": 60})
    results = [
        make_prediction(name, picture="160x120", looked_at=rows)
        for name, rows in (("a.h5", [look]), ("b.h5", [look, moved]), ("c.h5", []))
    ]
    text = read_text(write_answers_page(OutputFolder(tmp_path), RUN, results, None))
    assert len(re.findall(r">82x82\+53\+4<", text)) == 2
    assert "82x82" not in read_text(write_answers_page(OutputFolder(tmp_path), RUN, results[2:], None))


def test_long_segment_table_shows_the_number_of_omitted_rows(tmp_path: Path) -> None:
    result = make_prediction("a.h5", segments=make_segments() * 100)
    text = read_text(write_answers_page(OutputFolder(tmp_path), RUN, [result], None))
    assert "300 segments" in text
    assert len(re.findall(r"<tr><td>(?:drums|uncertain|&lt;script)", text)) == 200
    assert mentions(text, 100, "segments.csv")


def test_missing_template_variable_is_an_error() -> None:
    template = environment().from_string("{{ missing }}{{ present.missing }}")
    with pytest.raises(UndefinedError, match="missing"):
        template.render(present=RUN)


def test_all_templates_are_packaged_and_load() -> None:
    names = {path.name for path in (Path(pages.__file__).parent / "templates").iterdir()}
    assert names == set(environment().list_templates())
    for name in names:
        environment().get_template(name)


def test_page_is_written_in_bounded_memory(tmp_path: Path) -> None:
    folder, result = OutputFolder(tmp_path), make_prediction("a.h5")
    write_answers_page(folder, RUN, [result], None)  # compiles the templates
    overlay = folder.of("a.h5").overlay
    overlay.parent.mkdir()
    overlay.write_bytes(bytes(24 << 20))
    tracemalloc.start()
    page = write_answers_page(folder, RUN, [result], None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert page.stat().st_size > 32 << 20
    assert peak < 4 << 20


def test_page_links_media_beyond_its_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = OutputFolder(tmp_path)
    results = draw_all(folder, ["a.h5", "b #1.h5"])
    files = folder.of("a.h5")
    monkeypatch.setattr(answers, "MAX_MEDIA_BYTES", files.overlay.stat().st_size)
    text = read_text(write_answers_page(folder, RUN, results, None))
    assert text.count("data:video/webm") == 1
    assert 'preload="none" src="b%20%231.h5/overlay.webm"></video>' in text


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


def run_in_browser(page: Path, script: str) -> Any:
    """Run a script at the end of the page without a network; return the JSON that it leaves in `pre#probe`."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
    done = subprocess.run(
        [
            chromium,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=10000000",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--autoplay-policy=no-user-gesture-required",
            f"--user-data-dir={page.parent / 'profile'}",
            "--dump-dom",
            probed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
    )
    match = re.search('<pre id="probe">(.*?)</pre>', done.stdout)
    assert match, done.stdout[-500:] + done.stderr[-500:]
    return json.loads(unescape(match[1]))


def test_classification_page_plays_overlays_in_an_offline_browser(tmp_path: Path) -> None:
    found = run_in_browser(make_answers(tmp_path, ["a.h5", "deep/b.h5", "c.h5", "d.h5"]), PROBE)
    assert len(found["images"]) == 4
    assert min(found["images"]) > 0
    # the last recording; segments of all; energy, network and settings
    assert (found["closed"], found["stillClosed"]) == (1 + 4 + 3, 0)
    assert found["videos"] == pytest.approx([38 / 15] * 4, abs=0.05)
    assert found["links"] == [True] * 4
    assert found["loaded"] == []


PLAYER = """<script>
addEventListener('load', async () => {
  const found = {}, video = document.querySelector('video'), track = document.querySelector('.track');
  if (video.readyState < 1) await new Promise(done => { video.onloadedmetadata = done; });
  const line = () => parseFloat(document.querySelector('.line').style.left) / 100;
  const ends = (name) => {
    const { left, right } = document.querySelector(name).getBoundingClientRect();
    return [left, right];
  };
  found.ends = [ends('.track'), ends('.curves')];
  const texts = [...document.querySelectorAll('.plot *')].filter(each => each.textContent.trim());
  found.fontPx = Math.min(...texts.map(each => parseFloat(getComputedStyle(each).fontSize)));
  const seen = (name) => { found[name] = [video.currentTime, line()]; };
  const press = (key) => document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  seen('start');
  const area = track.getBoundingClientRect();
  track.dispatchEvent(new MouseEvent('click', {clientX: area.left + area.width / 2, bubbles: true}));
  seen('middle');
  const button = document.querySelectorAll('td[data-start] button')[2];
  button.focus(); button.click();
  seen('segment');
  press('p'); seen('previous');
  press('ArrowRight'); seen('right');
  press('ArrowLeft'); seen('left');
  press('.'); seen('picture');
  track.focus(); press('Home'); seen('home');
  press(' '); found.playing = !video.paused;
  press(' '); found.paused = video.paused;
  document.body.innerHTML = '<pre id="probe">' + JSON.stringify(found) + '</pre>';
});
</script></body>"""


def test_timeline_follows_the_video_and_seeks_it(answers_page: Path) -> None:
    """The recording of 2.5 s plays in real time, so playing time equals time since the first event."""
    found = run_in_browser(answers_page, PLAYER)
    seconds = {"start": 0, "middle": 1.25, "segment": 1.5, "previous": 1, "right": 1.125, "left": 1, "home": 0}
    for name, time_s in seconds.items():
        assert found[name] == pytest.approx([time_s, time_s / 2.5], abs=0.02), name
    assert found["picture"][0] == pytest.approx(1 + 1 / 15, abs=0.02)
    assert found["playing"]
    assert found["paused"]
    track, curves = found["ends"]
    assert track == curves
    assert found["fontPx"] >= 11  # readable on a phone, too: texts do not shrink with the chart


def test_clock_skips_shortened_pauses() -> None:
    settings = PreviewSettings(fps=10, speed=2)  # pictures of 200 ms
    ends_us = [1_200_000, 1_400_000, 9_000_000, 9_200_000]
    assert find_clock(ends_us, settings, 1_000_000) == ((0, 0), (0.2, 0.4), (0.2, 7.8), (0.4, 8.2))


def test_timeline_of_many_classes_has_bounded_size(tmp_path: Path) -> None:
    classes = [f"class{k}" for k in range(1000)]
    rows = [row.model_copy(update={"probabilities": (0.0,) * 990 + (0.1,) * 10}) for row in make_windows()]
    result = make_prediction("a.h5", labels=None)
    save_figure(plot_timeline(result, rows, classes), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.height < 3000
    assert chart_timeline(result, rows, classes).to_html().count("<i style") == MAX_CLASSES


def test_pages_do_not_scroll_sideways(tmp_path: Path, training_page: Path) -> None:
    """On phone and desktop, even with a long name without break positions."""
    pages = make_answers(tmp_path, ["a" * 60 + ".h5"]), training_page
    contents = [escape(page.read_text(encoding="utf-8")) for page in pages]
    frames = "".join(
        f'<iframe width={width} height=900 srcdoc="{content}"></iframe>'
        for content in contents
        for width in (390, 1300)
    )
    (tmp_path / "frames.html").write_text(f"<!DOCTYPE html><body>{frames}</body>", encoding="utf-8")
    shown = run_in_browser(tmp_path / "frames.html", WIDTHS)
    assert [found["width"] for found in shown] == 2 * [390, 1300]
    for found in shown:
        assert found["page"] <= found["width"]
        assert found["tables"] == [0] * len(found["tables"])


WIDTHS = """<script>
addEventListener('load', () => {
  const found = [...document.querySelectorAll('iframe')].map(frame => {
    const inner = frame.contentDocument;
    const tables = [...inner.querySelectorAll('.scroll')].map(each => each.scrollWidth - each.clientWidth);
    return {width: frame.clientWidth, page: inner.documentElement.scrollWidth, tables};
  });
  document.body.innerHTML = '<pre id="probe">' + JSON.stringify(found) + '</pre>';
});
</script></body>"""


def test_confusion_matrix_of_many_classes_is_a_picture() -> None:
    assert show_confusion(np.eye(3, dtype=int), CLASSES[:3]).count("<td style") == 3
    large = show_confusion(np.eye(120, dtype=int), [f"class{k}" for k in range(120)])
    assert "<td" not in large
    assert "data:image/png" in large


def test_texts_of_wrong_predictions_do_not_overlap(tmp_path: Path) -> None:
    """Two rows of pictures, each with two lines above and one below."""
    images = 6 * (EventImage(on=((0.0,) * 8,) * 8, off=((1.0,) * 8,) * 8),)
    wrong = 6 * (WrongPrediction(name="a.h5", label="left", predicted="right", probability=0.9),)
    draw_wrong(wrong, images, tmp_path / "a.png")
    has_ink = (np.asarray(Image.open(tmp_path / "a.png").convert("L")) < 250).any(axis=1)
    assert not has_ink[:4].any()  # type: ignore[index]
    assert np.sum(np.diff(has_ink.astype(int)) == 1) == 8


def test_pictures_of_synthetic_recordings_are_labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = dict[str, str]()
    for module in (training_charts, wrong_predictions):
        monkeypatch.setattr(
            module, "save_figure", lambda figure, path: titles.update({path.stem: figure.get_suptitle()})
        )
    monkeypatch.setattr("dvspipe.report.training_page.write_page", lambda *_, **__: None)
    image = EventImage(on=((0.0,) * 8,) * 8, off=((1.0,) * 8,) * 8)
    wrong = [WrongPrediction(name="a.h5", label="left", predicted="right", probability=0.9)]
    activity = ACTIVITY.model_copy(update={"wrong": (image,)})
    for synthetic, title in ((True, "synthetic data"), (False, "")):
        changes = {"synthetic": synthetic, "synthetic_test": synthetic, "wrong": wrong}
        write_training_page(make_run(tmp_path, activity, **changes))
        assert titles["wrong"] == title
        assert all(text.endswith(f"({title})" if title else text) for text in titles.values() if text != title)


def test_preview_of_a_part_shows_recording_times(tmp_path: Path) -> None:
    events = random_events(0, 3000, span_us=1_000_000)
    for name in ("a.gif", "a.png"):
        begin = write_preview([events], SENSOR, tmp_path / name, SETTINGS, span_us=(0, 1_000_000)).read_bytes()
        part = events.shift_time(3_000_000)
        since = write_preview(
            [part], SENSOR, tmp_path / name, SETTINGS, span_us=(3_000_000, 4_000_000), zero_us=3_000_000
        )
        assert since.read_bytes() == begin
        later = write_preview([part], SENSOR, tmp_path / name, SETTINGS, span_us=(3_000_000, 4_000_000), zero_us=0)
        assert later.read_bytes() != begin


@pytest.mark.parametrize("mode", ["count", "surface", "decay"])
def test_legend_of_a_narrow_sheet_is_complete(tmp_path: Path, mode: Any) -> None:
    wide, narrow = SensorSize(width=300, height=30), SensorSize(width=3, height=30)
    settings = PreviewSettings(mode=mode, scale=1)
    inked = []
    for sensor, pictures_px in ((wide, 4 * 308 + 8), (narrow, 4 * 12 + 8)):
        sheet = np.asarray(Image.open(write_preview([], sensor, tmp_path / "a.png", settings)))
        assert sheet.shape[1] >= pictures_px
        legend = sheet[3 * (30 + 22 + 8) + 8 :]  # below pictures with their lines of text
        ink = (legend != legend[0, 0]).any(axis=2)
        assert not ink[:, -4:].any()
        inked.append(int(ink.sum()))
    assert inked[0] == inked[1]
