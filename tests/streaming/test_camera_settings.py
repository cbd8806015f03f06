"""Settings of event cameras from files, with the stand-in for neuromorphic-drivers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cameras import Clock, Device, Name, RateLimiter, RegionOfInterest, connect
from commands import dvspipe as run
from conftest import SENSOR
from facts import raises

from dvspipe.base.errors import ConfigError, FormatError
from dvspipe.streaming import open_live
from dvspipe.streaming.camera_settings import COARSE_PA, MAX_FINE, number_of_bias

DV = """<dv version="2.0"><node name="mainloop" path="/mainloop/"><node name="DAVIS346"><node name="bias">
<node name="DiffBn"><attr key="coarseValue" type="int">{coarse}</attr><attr key="fineValue" type="int">40</attr></node>
<node name="ApsCas"><attr key="voltageValue" type="int">21</attr></node>
</node></node></node></dv>"""


def configure(monkeypatch: pytest.MonkeyPatch, path: Path, content: object, kind: Name = Name.PROPHESEE_EVK4) -> Any:
    """Return the configuration with which a camera is opened for a file of settings."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    device = Device(kind=kind)
    connect(monkeypatch, device)
    try:
        open_live("event-camera", camera_settings=path)
        assert device.is_open
        return device.configuration
    finally:
        device.is_open = False


def test_json_sets_what_it_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limiter = {"reference_period_us": 200, "maximum_events_per_period": 4000}
    settings = {"biases": {"diff_on": 30}, "rate_limiter": limiter, "clock": "EXTERNAL"}
    found = configure(monkeypatch, tmp_path / "a.json", settings)
    assert (found.biases.diff_on, found.biases.diff, found.clock) == (30, 0, Clock.EXTERNAL)
    assert found.rate_limiter == RateLimiter(200, 4000)


def test_bias_file_of_prophesee(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = "% a header\n\n-5  % bias_diff_on   %   v\n0x10 % bias_fo\n"
    found = configure(monkeypatch, tmp_path / "a.bias", content).biases
    assert (found.diff_on, found.fo, found.diff) == (-5, 16, 0)


def test_bias_fo_has_another_name_on_the_evk3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = configure(monkeypatch, tmp_path / "a.bias", "80 % bias_fo\n", Name.PROPHESEE_EVK3_HD).biases
    assert (found.fo_p, found.fo_n) == (80, 0)


def test_configuration_of_dv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kind = Name.INIVATION_DAVIS346
    found = configure(monkeypatch, tmp_path / "a.xml", DV.format(coarse=4), kind).biases
    assert (found.diffbn, found.onbn) == (number_of_bias(4, 40), 1564)


def test_biases_of_a_davis_are_numbered_by_their_current() -> None:
    pairs = [(0, 0), *itertools.product(range(len(COARSE_PA)), range(1, MAX_FINE + 1))]
    ordered = sorted(pairs, key=lambda pair: (COARSE_PA[pair[0]] * pair[1], pair))
    assert [number_of_bias(*pair) for pair in ordered] == [*range(2041)]

    # Defaults of DV, and of the driver.
    assert [number_of_bias(*pair) for pair in ((4, 39), (5, 255), (4, 1), (2, 58))] == [1063, 1564, 583, 575]


def test_region_of_interest_leaves_only_its_pixels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = {"region_of_interest": "3x2+4+1"}
    found = configure(monkeypatch, tmp_path / "a.json", settings)
    assert np.flatnonzero(np.equal(found.x_mask, 0)).tolist() == [4, 5, 6]
    assert np.flatnonzero(np.equal(found.y_mask, 0)).tolist() == [1, 2]

    found = configure(monkeypatch, tmp_path / "a.json", settings, Name.INIVATION_DAVIS346)
    assert found.region_of_interest == RegionOfInterest(4, 1, 3, 2)


@pytest.mark.parametrize(
    ("settings", "kind", "facts"),
    [
        ({"biases": {"dif_on": 3}}, Name.PROPHESEE_EVK4, ("EVK4", "biases.dif_on", "biases.diff_on")),
        ({"biases": {"diff_on": 300}}, Name.PROPHESEE_EVK4, ("biases.diff_on", 300, "-85 to 140")),
        ({"biases": {"diff_on": "x"}}, Name.PROPHESEE_EVK4, ("biases.diff_on", "integer")),
        (
            {"rate_limiter": {"reference_period_us": 999}},
            Name.PROPHESEE_EVK4,
            (999, "0 to 200", "maximum_events_per_period"),
        ),
        ({"region_of_interest": "9x2+4+1"}, Name.PROPHESEE_EVK4, ("9x2+4+1", SENSOR)),
        ({"region_of_interest": "0x0"}, Name.PROPHESEE_EVK4, ("0x0", "WIDTHxHEIGHT+LEFT+TOP")),
        ({"region_of_interest": "3x2+4+1"}, Name.INIVATION_DVXPLORER, ("DVXplorer", "region_of_interest", "biases")),
        ({"anti_flicker": True}, Name.INIVATION_DAVIS346, ("DAVIS 346", "anti_flicker", "exposure_us")),
        ({"biases": {"log": 3}}, Name.INIVATION_DVXPLORER, ("biases.log",)),
    ],
)
def test_wrong_settings_name_file_camera_and_range(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: object, kind: Name, facts: tuple[object, ...]
) -> None:
    with raises(ConfigError, "a.json", *facts):
        configure(monkeypatch, tmp_path / "a.json", settings, kind)


@pytest.mark.parametrize(
    ("name", "content", "facts"),
    [
        ("a.json", "[1]", ("list",)),
        ("a.json", '{"biases": ', ("line 1",)),
        ("a.json", "[" * 100_000, ("recursion",)),
        ("a.bias", "1 % bias_fo\nthree % bias_diff\n", ("line 2", "three")),
        ("a.bias", "1 % bias_fo\n2 % bias_fo\n", ("fo", 1, 2)),
        ("a.xml", "<dv>", ("line 1",)),
        ("a.xml", "<dv/>", ("coarseValue",)),
        ("a.xml", DV.format(coarse=8), (8, "0 to 7")),
        ("a.xml", '<!DOCTYPE dv [<!ENTITY a "b">]><dv>&a;</dv>', ("document type",)),
        ("a.txt", "", (".json, .bias, .xml",)),
    ],
)
def test_wrong_files_are_refused_before_the_camera_is_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: str, facts: tuple[object, ...]
) -> None:
    device = Device()
    connect(monkeypatch, device)
    (tmp_path / name).write_text(content)
    with raises(FormatError, name, *facts):
        open_live("event-camera", camera_settings=tmp_path / name)
    assert not device.opened


def test_camera_is_closed_if_it_lacks_a_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = Device()
    connect(monkeypatch, device)
    (tmp_path / "a.json").write_text('{"x": 1}')
    with pytest.raises(ConfigError):
        open_live("event-camera", camera_settings=tmp_path / "a.json")
    assert not device.is_open


def test_only_event_cameras_have_settings(tmp_path: Path) -> None:
    done = run("live", "0", "--camera-settings", tmp_path / "a.json", code=2)
    assert "event-camera" in done.stderr
