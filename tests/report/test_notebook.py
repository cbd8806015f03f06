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
from records import make_prediction
from test_pages import make_run

from dvspipe import Events, animate, plot
from dvspipe.base.errors import ConfigError
from dvspipe.report import PLOTS, notebook
from dvspipe.report.config import PreviewSettings


def test_plot_returns_a_figure_that_notebooks_show() -> None:
    events = random_events(0, 100)
    assert all(isinstance(plot(events, kind), Figure) for kind in PLOTS)
    png, size = plot(events, "rate")._repr_png_()  # type: ignore[attr-defined]
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[1] // 2 == size["width"]


def test_plot_accepts_predictions_and_runs(tmp_path: Path) -> None:
    titles = [axes.get_title(loc="left") for axes in plot(make_prediction()).axes]
    assert titles == ["Probability", ""]
    assert [axes.get_title(loc="left") for axes in plot(make_run(tmp_path)).axes][:2] == ["Loss", "Accuracy in %"]


def test_unknown_chart_or_setting_raises_config_error() -> None:
    events = random_events(0, 10)
    with raises(ConfigError, "spiral"):
        plot(events, "spiral")
    with raises(ConfigError, "window"):
        animate(events, PreviewSettings(window=3))


@pytest.mark.parametrize(("span_us", "play_s"), [(5000, 2), (5_000_000, 5), (10**9, 20)])
def test_animation_lasts_between_two_and_twenty_seconds(span_us: int, play_s: float) -> None:
    events = Events(np.linspace(0, span_us, 600).astype(int), [0] * 600, [0] * 600, [1] * 600, SENSOR)
    chosen = notebook._animation_settings(events)
    assert span_us / chosen.step_us * chosen.picture_s == pytest.approx(play_s, rel=0.1)


def test_animation_is_an_embedded_video(tmp_path: Path) -> None:
    html = animate(random_events(0, 500, SENSOR, 10000), PreviewSettings(window_us=1000, speed=0.01))._repr_html_()
    (content,) = re.findall(r'<video [^>]*src="data:video/webm;base64,([^"]+)"></video>', html)
    (tmp_path / "a.webm").write_bytes(base64.b64decode(content))
    assert cv2.VideoCapture(str(tmp_path / "a.webm")).read()[0]
