"""The program for all measurements: its lines, its JSON, and what it measures beside dvspipe."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import random_events

from dvspipe.formats import FORMATS, write
from dvspipe.simulator import simulate

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "bench.py"
FAKE_EVENTCV = """
def simulate(frames, *, fps, upsample="adaptive", **sensor):
    assert fps == 30 and (not sensor or not any(sensor.values()))
    return [0] * (frames.size + (upsample == "off"))
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("bench", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "REPEATS", 1)
    return module


def test_figures_are_printed_and_written_as_json_lines(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [bench.Figure("a/b", 2.5, "Mpixel/s", 2, {"peer": 1.25}), bench.Figure("a/c", 1.0, "x")]
    monkeypatch.setitem(bench.BENCHES, "start", lambda _options: iter(figures))
    monkeypatch.setattr(sys, "argv", ["bench.py", "start", "--json", str(tmp_path / "out.jsonl")])
    bench.main()
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        {"name": "a/b", "value": 2.5, "unit": "Mpixel/s", "target": 2, "beside": {"peer": 1.25}},
        {"name": "a/c", "value": 1.0, "unit": "x", "target": None, "beside": {}},
    ]
    assert "target 2   peer 1.25" in capsys.readouterr().out


def test_eventcv_is_measured_as_the_ideal_sensor_and_as_it_comes(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "eventcv.py").write_text(FAKE_EVENTCV)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    frames = bench.moving_texture(12, 7, 4, 0.5)
    ours = sum(len(part) for part in simulate(frames, bench.SimulatorConfig(intensity_map="linlog")))
    figures = {figure.name: figure for figure in bench._against_eventcv("a", frames, sys.executable)}
    assert list(figures) == ["a_off", "a_adaptive", "a_default", "a_default_same", "a_default_off"]
    assert figures["a_off"].beside["our events / its"] == ours / (4 * 12 * 7 + 1)
    assert figures["a_default"].beside["our events / its"] == ours / (4 * 12 * 7)
    for figure in figures.values():
        speeds = figure.beside["Mpixel/s"], figure.beside["eventcv's Mpixel/s"]
        assert figure.value == pytest.approx(speeds[0] / speeds[1])


def test_other_sensors_are_measured_beside_the_clean_one(bench: ModuleType) -> None:
    frames, noisy = bench.moving_texture(12, 7, 4, 0.5), bench.SimulatorConfig(cutoff_hz=30, shot_noise_rate_hz=5)
    (figure,) = bench._against_clean("a", frames, {"noisy": noisy})
    assert (figure.name, figure.target) == ("a_noisy_to_clean", 0.5)
    assert figure.value == pytest.approx(1 / figure.beside["cost"])


def test_what_cannot_be_measured_is_skipped_with_the_reason(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "eventcv.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(bench.shutil, "which", lambda _name: None)
    assert not [*bench._against_eventcv("a", [], sys.executable)]
    assert not [*bench.bench_convert(bench.Options(sys.executable, None))]
    told = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0].split() for line in told] == [
        ["a", "skipped"],
        ["convert/720p", "skipped"],
        ["convert/cockatoo", "skipped"],
    ]
    assert "--peers" in told[0]
    assert "ffmpeg" in told[1]
    assert "--data" in told[2]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells the peak on Linux only")
def test_peak_memory_is_the_childs_own(bench: ModuleType) -> None:
    ballast = np.ones(64 << 20, np.uint8)  # in the parent, and in no figure of the child
    told = subprocess.run(
        [sys.executable, "-c", bench.PRINT_PEAK, "--help"], capture_output=True, text=True, check=True, env=os.environ
    )
    peak_bytes = int(told.stdout.split()[-1]) * 1024
    own_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert 10e6 < peak_bytes < own_bytes - ballast.nbytes / 2


def test_stages_and_the_whole_of_a_conversion_are_measured(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.webm"
    bench.write_video(clip, bench.moving_texture(64, 48, 6, 0.5))
    monkeypatch.setattr(bench, "CONVERT_REPEATS", 1)
    figures = {figure.name.split("_")[-1]: figure for figure in bench._stages(clip, tmp_path / "out.h5")}
    assert list(figures) == ["decoding", "density", "decode", "simulate", "write", "stages"]
    alone = [figures[name].beside for name in ("decode", "simulate", "write")]
    ideal_s = max(*(stage["wall s"] for stage in alone), sum(stage["cpu s"] for stage in alone) / 2)
    assert figures["stages"].value == pytest.approx(1.2 * ideal_s / figures["stages"].beside["wall s"])


def test_encoding_is_measured_beside_tonic_and_beside_reading_once(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "EVENTS", 50_000)
    figures = {figure.name: figure for figure in bench.bench_encoding(bench.Options(sys.executable, None))}
    sizes = ("encoding/128x128_in_100", "encoding/1280x720_in_10")
    forms = ("_binary", "_voxel", "_surface", "_downsampled", "_stream", "_transform")
    assert set(figures) == {size + what for size in sizes for what in ("", "_bound", *forms)}
    assert [figures[size].target for size in sizes] == [25, 12]
    for size in sizes:
        ours, theirs = figures[size].beside.values()
        assert figures[size].value == pytest.approx(ours / theirs)
        reading = figures[f"{size}_bound"]
        assert reading.value == pytest.approx(ours / reading.beside["M events/s read"])
    assert "encoding/real_1280x720_in_10         skipped: no recordings/faery_evt3.raw" in capsys.readouterr().out


def test_every_format_is_measured_in_every_way(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "EVENTS", 2000)
    monkeypatch.setattr(bench, "FORMAT_REPEATS", 1)
    monkeypatch.setattr(bench, "_peers", lambda task, _options: {"faery": 1e-3, "h5py": 1e-3} if task else {})
    monkeypatch.setattr(bench, "_peak_mb", lambda _source, _out: 200.0)
    figures = {figure.name: figure for figure in bench.bench_formats(bench.Options(sys.executable, None))}
    written = {"hdf5", "aedat4", "evt2", "dat", "event_stream", "text", "numpy", "bin40"}
    assert set(figures) == {
        *(f"formats/{name}_{how}" for name in set(FORMATS) - {"rosbag"} for how in ("decode", "read", "part")),
        *(f"formats/{name}_write" for name in written),
        "formats/raw_to_h5_memory",
        "formats/h5_to_aedat4_memory",
    }
    assert figures["formats/hdf5_read"].target == 100  # M events/s
    assert figures["formats/aedat4_decode"].target == pytest.approx(2 / 1.3)
    assert figures["formats/raw_to_h5_memory"].value == 2


@pytest.mark.parametrize(("suffix", "peer"), [(".raw", "faery"), (".h5", "h5py"), (".npz", "numpy")])
def test_libraries_that_read_and_write_a_format_are_timed(
    bench: ModuleType, tmp_path: Path, suffix: str, peer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "FORMAT_REPEATS", 1)
    options, events, path = bench.Options(sys.executable, None), random_events(0, 500), tmp_path / f"a{suffix}"
    write(path, events)
    assert bench._peers(["read", str(path)], options)[peer] > 0
    np.save(tmp_path / "events.npy", bench._as_faery(events))
    beside = tmp_path / f"b{suffix}"
    spent = bench._peers(["write", str(beside), str(tmp_path / "events.npy")], options)
    assert set(spent) == {peer}
    assert beside.exists() == bool(spent)


def test_all_measures_everything_beside_the_peers_that_are_made(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def measured(name: str, options: argparse.Namespace) -> list[object]:
        seen.append((name, options.peers))
        return []

    for name in bench.BENCHES:
        monkeypatch.setitem(bench.BENCHES, name, partial(measured, name))
    monkeypatch.setattr(bench, "make_environment", lambda: "its Python")
    monkeypatch.setattr(sys, "argv", ["bench.py", "all", "--peers", "auto"])
    bench.main()
    assert seen == [(name, "its Python") for name in bench.BENCHES]


@pytest.mark.slow
@pytest.mark.usefixtures("bench")
def test_the_environment_of_peers_sees_our_packages_and_names_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = sys.modules["peer_environment"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(environment, "PEERS", {"numpy": "numpy", "./missing": "missing"})
    python = environment.make_environment()
    assert python.startswith(str(tmp_path))
    assert environment.has_module(python, "numpy", "dvspipe")
    assert not environment.has_module(python, "missing")
    printed = capsys.readouterr().out
    assert "./missing is left out: " in printed
    assert "numpy is left out" not in printed
