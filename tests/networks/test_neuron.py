"""Response of one neuron to a spike train: closed form below threshold, and the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError
from dvspipe.networks import neuron_response
from dvspipe.networks.response import closed_form
from dvspipe.report import draw_neurons

TIMES_S = st.lists(st.integers(0, 59).map(lambda ms: ms / 1000), min_size=1, max_size=12)


@given(times_s=TIMES_S, tau_ms=st.floats(1.0, 50.0), weight=st.floats(-3.0, 6.0))
def test_membrane_equals_the_closed_form_until_the_first_spike(
    times_s: list[float], tau_ms: float, weight: float
) -> None:
    found = neuron_response(times_s, tau_s=tau_ms / 1000, weight=weight, dt=1e-3, duration_s=0.06)
    assert found.arrived.sum() == len(times_s)
    first = int(found.fired.argmax()) if found.fired.any() else 60
    np.testing.assert_allclose(found.membrane[:first], found.closed_form[:first], rtol=1e-5, atol=1e-6)
    assert (found.closed_form[:first] <= 1 + 1e-6).all()
    if found.fired.any():
        assert found.closed_form[first] > 1 - 1e-6
        assert found.membrane[first] == 0
        assert np.isnan(found.closed_form[first + 1 :]).all()


def test_short_steps_approach_the_exact_exponentials() -> None:
    dt, tau = 1e-6, 4e-3
    arrived = np.bincount([0, 2000], minlength=6000)
    charge = 0.5 * tau / dt  # charge of a spike that raises the membrane by 0.5
    found = closed_form(arrived, charge, dt / tau)
    ms = np.arange(6000) * dt * 1000
    expected = 0.5 * (np.exp(-ms / 4) + np.where(ms >= 2, np.exp(-(ms - 2) / 4), 0))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_spikes_in_one_step_add_up() -> None:
    found = neuron_response([0.003, 0.0035, 0.003], tau_s=0.01, weight=2.0, dt=1e-3, duration_s=0.01)
    assert found.arrived.tolist() == [0, 0, 0, 3, 0, 0, 0, 0, 0, 0]
    assert found.membrane[3] == pytest.approx(0.6, rel=1e-6)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"tau_s": 0.0005}, ("0.5 ms", "1 ms")),
        ({"tau_s": float("nan")}, "nan ms"),
        ({"tau_s": float("inf")}, "inf ms"),
        ({"weight": float("inf")}, "inf"),
        ({"duration_s": 1e9}, ("1e+09 s", "100 s")),
        ({"spikes_s": [-0.001]}, ("-1 ms", "10 ms")),
        ({"spikes_s": [float("nan")]}, "nan ms"),
    ],
)
def test_numbers_out_of_range_are_rejected(over: dict[str, Any], message: object) -> None:
    right = {"spikes_s": [0.001], "tau_s": 0.01, "weight": 1.0, "dt": 1e-3, "duration_s": 0.01}
    with raises(ConfigError, message):
        neuron_response(**(right | over))  # type: ignore[arg-type]


def red_pixels(path: Path) -> int:
    blue, green, red = np.moveaxis(cv2.imread(str(path)).astype(int), 2, 0)
    return int(((red - blue > 100) & (red - green > 100)).sum())


def test_picture_shows_the_spikes(tmp_path: Path) -> None:
    for name, weight in (("silent", 1.0), ("firing", 15.0)):
        times_s = [0.01, 0.02, 0.03]
        responses = [
            neuron_response(times_s, tau_s=tau, weight=weight, dt=1e-3, duration_s=0.05) for tau in (0.005, 0.01)
        ]
        assert all(one.fired.any() == (name == "firing") for one in responses)
        draw_neurons(responses, tmp_path / f"{name}.png")
    assert red_pixels(tmp_path / "firing.png") > 3 * red_pixels(tmp_path / "silent.png")
