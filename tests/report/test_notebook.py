"""Charts and animations in notebooks."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import raises
from matplotlib.figure import Figure

from dvspipe import Events, animate, plot
from dvspipe.base.errors import ConfigError
from dvspipe.inference import Prediction, Timeline
from dvspipe.report import PLOTS, notebook
from dvspipe.report.config import PreviewSettings
from dvspipe.results import ActivityRecord, EpochRow, EventRates, RunFolder, SegmentRow, TestResult, TrainingRun

CLASSES = ("hand_wave", "<b>clap</b>", "c")


def prediction(K: int = 3) -> Prediction:
    probabilities = np.array([[0.1, 0.7, 0.2], [0.2, 0.6, 0.2]], np.float32)
    starts = np.array([0, 100_000])
    segments = (
        SegmentRow(t_start_us=0, t_end_us=150_000, label=1, class_name=CLASSES[1], probability=0.65),
        SegmentRow(t_start_us=150_000, t_end_us=200_000, label=None, class_name="uncertain", probability=0.4),
    )
    counts = np.array([50, 60])
    return Prediction(
        file="a<b>.h5",
        label=1,
        class_name=CLASSES[1],
        probability=0.65,
        certain=False,
        probabilities=(0.15, 0.65, 0.2)[:K],
        events=110,
        t_first_us=0,
        t_last_us=199_999,
        windows=2,
        timeline=Timeline(starts, starts + 100_000, counts, counts, probabilities, np.ones(2, bool), 100_000, 50_000),
        segments=segments,
        rates=EventRates(start_us=0, bin_us=100_000, counts=(50, 60)),
        picture=str(SENSOR),
        looked_at=(),
        classified_us=200_000,
        layers=(),
        trained_on="rendered & <b>",
        classes=CLASSES,
    )


def epoch(number: int, accuracy: float) -> EpochRow:
    return EpochRow(
        epoch=number,
        train_loss=1.0,
        train_accuracy=0.5,
        val_loss=1.0,
        val_accuracy=accuracy,
        learning_rate=0.1,
        seconds=1.0,
        rates={"lif1": 0.1},
    )


def run(epochs: int = 3) -> TrainingRun:
    test = TestResult.model_construct(
        title="N-MNIST <b>",
        synthetic=True,
        synthetic_test=False,
        chosen_epoch=1,
        val_accuracy=0.9,
        confusion=((8, 2), (0, 0)),
        findings=(),
    )
    rows = tuple(epoch(number, 0.3 * number) for number in range(1, epochs + 1))
    return TrainingRun(RunFolder(Path("runs/a<b>")), "", rows, test, ActivityRecord.model_construct())


def test_plot_returns_a_figure_that_notebooks_show() -> None:
    events = random_events(0, 100)
    assert all(isinstance(plot(events, kind), Figure) for kind in PLOTS)
    png, size = plot(events, "rate")._repr_png_()  # type: ignore[attr-defined]
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[1] // 2 == size["width"]


def test_plot_accepts_predictions_and_runs() -> None:
    titles = [axes.get_title(loc="left") for axes in plot(prediction()).axes]
    assert titles == ["Probability", ""]
    assert [axes.get_title(loc="left") for axes in plot(run()).axes][:2] == ["Loss", "Accuracy in %"]


def test_unknown_chart_or_setting_raises_config_error() -> None:
    events = random_events(0, 10)
    with raises(ConfigError, "spiral"):
        plot(events, "spiral")
    with raises(ConfigError, "window"):
        animate(events, PreviewSettings(window=3))


@pytest.mark.parametrize(("span_us", "least_s", "most_s"), [(5000, 1.9, 2.2), (5_000_000, 4.9, 5.2), (10**9, 19, 21)])
def test_animation_lasts_between_two_and_twenty_seconds(span_us: int, least_s: float, most_s: float) -> None:
    events = Events(np.linspace(0, span_us, 600).astype(int), [0] * 600, [0] * 600, [1] * 600, SENSOR)
    chosen = notebook._animation_settings(events)
    assert least_s <= (events.duration_us / chosen.step_us) * chosen.picture_s <= most_s


def test_animation_is_an_embedded_video(tmp_path: Path) -> None:
    html = animate(random_events(0, 500, SENSOR, 10000), PreviewSettings(window_us=1000, speed=0.01))._repr_html_()
    (content,) = re.findall(r'<video [^>]*src="data:video/webm;base64,([^"]+)"></video>', html)
    (tmp_path / "a.webm").write_bytes(base64.b64decode(content))
    assert cv2.VideoCapture(str(tmp_path / "a.webm")).read()[0]
