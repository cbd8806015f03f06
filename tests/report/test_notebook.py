"""HTML summaries, charts, animations and progress bars in notebooks."""

from __future__ import annotations

import base64
import re
import sys
import types
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import raises
from matplotlib.figure import Figure

import dvspipe
from dvspipe import Classifier, Events, ProgressBar, SensorSize, animate, plot
from dvspipe.base.errors import ConfigError
from dvspipe.datasets import DataSet, Sample
from dvspipe.inference import Prediction, Timeline
from dvspipe.report import PLOTS, notebook
from dvspipe.report.painter import EventPainter
from dvspipe.results import ActivityRecord, EpochRow, EventRates, RunFolder, SegmentRow, TestResult, TrainingRun

CLASSES = ("hand_wave", "<b>clap</b>", "c")
UNSAFE = re.compile(r"<script|<link|<style|https?:|@import|onload|<b>")


class Tags(HTMLParser):
    """Parser that checks the nesting of elements and collects them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class Kernel:
    """Fake running IPython with only the HTML formatter."""

    def __init__(self) -> None:
        self.functions: dict[tuple[str, str], Callable[[object], str | None]] = {}
        self.display_formatter = types.SimpleNamespace(formatters={"text/html": self})

    def get_ipython(self) -> Kernel:
        return self

    def for_type_by_name(self, module: str, name: str, function: Callable[[object], str | None]) -> None:
        self.functions[module, name] = function


def html_of(value: object) -> str | None:
    """Return the HTML that a notebook with dvspipe imported shows for a value."""
    kernel = Kernel()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "IPython", kernel)
        dvspipe._register_html()  # type: ignore[attr-defined]
    return kernel.functions[type(value).__module__, type(value).__name__](value)


def shown(value: Any) -> str:
    """Return the HTML of a value after checking that it is well-formed, safe and small."""
    html = html_of(value)
    assert html is not None
    assert not UNSAFE.search(html)
    assert len(html) < 100_000
    Tags(html)
    return str(html)


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
        data_seconds=0.1,
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


def test_events_summary_shows_count_sensor_and_picture() -> None:
    html = shown(random_events(0, 12_345, SensorSize(346, 260), 2_000_000))
    assert "12,345" in html
    assert "346 x 260" in html
    (picture,) = [attributes for tag, attributes in Tags(html).found if tag == "img"]
    png = base64.b64decode((picture["src"] or "").removeprefix("data:image/png;base64,"))
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[1] == int(picture["width"] or 0)


@pytest.mark.parametrize("sensor", [SENSOR, SensorSize(1, 1), SensorSize(32767, 1), SensorSize(4000, 4000)])
@pytest.mark.parametrize("times", [[], [7], [5, 5], [-(2**62), 0, 2**62]])
def test_any_events_have_a_summary(sensor: SensorSize, times: list[int]) -> None:
    zeros = [0] * len(times)
    assert f"{len(times)}</div>" in shown(Events(times, zeros, zeros, zeros, sensor))


def test_summary_of_many_events_reads_only_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = EventPainter.draw
    monkeypatch.setattr(EventPainter, "draw", lambda self, *given: drawn.append(given[0]) or draw(self, *given))
    shown(random_events(0, 300_000, SensorSize(1280, 720), 10**6))
    assert [len(events) for events in drawn] == [round(0.1 * 1280 * 720)]


def test_prediction_summary_shows_classes_and_segments() -> None:
    html = shown(prediction())
    assert "perhaps &lt;b&gt;clap&lt;/b&gt;, 65.0 %" in html
    assert html.index("65.0 %</div>") < html.index("20.0 %</div>") < html.index("15.0 %</div>")
    assert "width:75.000%" in html


def test_run_summary_shows_accuracy() -> None:
    html = shown(run())
    assert "80.0 % of 10" in html
    assert "90.0 % in epoch 1 of 3" in html
    assert "<svg" in html
    assert "<svg" not in shown(run(epochs=1))


def test_dataset_summary_shows_classes() -> None:
    samples = tuple(Sample(f"s{k}", k % 2, f"p{k % 3}", lambda: None, lambda: "") for k in range(10))  # type: ignore[return-value]
    html = shown(DataSet("<b>Waves</b>", CLASSES, SENSOR, train=samples[:7], test=samples[7:]))
    assert "7 train, 0 validation, 3 test" in html
    assert "3 people" in html
    assert shown(DataSet("", (), SENSOR))
    assert "the first 12" in shown(DataSet("many", tuple(map(str, range(1000))), SENSOR))


def test_classifier_summary_shows_network_and_classes() -> None:
    html = shown(Classifier.load("nmnist-synthetic"))
    assert "34 x 34" in html
    assert "nmnist-synthetic" in html


def test_failed_summary_falls_back_to_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dvspipe.report.notebook", None)  # as without OpenCV
    events = random_events(0, 10)
    assert html_of(events) is None
    assert repr(events).startswith("Events(10 events")


def test_plot_returns_a_figure_that_notebooks_show() -> None:
    events = random_events(0, 100)
    assert all(isinstance(plot(events, kind), Figure) for kind in PLOTS)
    png, size = plot(events, "rate")._repr_png_()  # type: ignore[attr-defined]
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[1] // 2 == size["width"]


def test_plot_accepts_predictions_and_runs() -> None:
    titles = [axes.get_title(loc="left") for axes in plot(prediction()).axes]
    assert titles == ["Probability of each class", "Segments", "Events per second"]
    assert [axes.get_title(loc="left") for axes in plot(run()).axes][:2] == ["Loss", "Accuracy in %"]


def test_unknown_chart_or_setting_raises_config_error() -> None:
    events = random_events(0, 10)
    with raises(ConfigError, "spiral"):
        plot(events, "spiral")
    with raises(ConfigError, "window"):
        animate(events, {"window": 3})


@pytest.mark.parametrize(("span_us", "least_s", "most_s"), [(5000, 1.9, 2.2), (5_000_000, 4.9, 5.2), (10**9, 19, 21)])
def test_animation_lasts_between_two_and_twenty_seconds(span_us: int, least_s: float, most_s: float) -> None:
    events = Events(np.linspace(0, span_us, 600).astype(int), [0] * 600, [0] * 600, [1] * 600, SENSOR)
    chosen = notebook._animation_settings(events)
    assert least_s <= (events.duration_us / chosen.step_us) * chosen.picture_s <= most_s


def test_animation_is_an_embedded_video(tmp_path: Path) -> None:
    html = animate(random_events(0, 500, SENSOR, 10_000), {"window_us": 1000, "speed": 0.01})._repr_html_()
    ((tag, attributes),) = Tags(html).found
    assert tag == "video"
    (tmp_path / "a.webm").write_bytes(base64.b64decode((attributes["src"] or "").partition(",")[2]))
    assert cv2.VideoCapture(str(tmp_path / "a.webm")).read()[0]


def test_progress_bar_updates_one_notebook_output(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs: list[list[str]] = []

    def display(bar: ProgressBar, *, display_id: str, update: bool) -> None:
        assert display_id
        if not update:
            outputs.append([])
        outputs[-1].append(bar._repr_html_())

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=1)  # type: ignore[attr-defined]
    ipython.display = types.SimpleNamespace(display=display)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    bar = ProgressBar()
    for done in range(101):
        bar.on_progress("<b>epoch", done, 100)
    bar.on_warning("silent & dead")
    bar.on_epoch(epoch(1, 0.5))
    bar.on_epoch(epoch(2, 0.75))
    ((*_, last),) = outputs
    assert 4 <= len(outputs[0]) < 50
    assert 'value="100" max="100"' in last
    assert "&lt;b&gt;epoch 100 of 100" in last
    assert "silent &amp; dead" in last
    assert "75.0 %" in last
    assert "50.0 %" not in last


def test_progress_bar_labels_synthetic_validation() -> None:
    bar = ProgressBar()
    bar.on_data(synthetic=True)
    bar.on_epoch(epoch(1, 0.5))
    assert "(synthetic) 50.0 %" in repr(bar)


def test_progress_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("reading")
    bar(1, 2)
    bar(2, 2)
    assert capsys.readouterr() == ("", "")
    assert repr(bar) == "reading: 2 of 2"
