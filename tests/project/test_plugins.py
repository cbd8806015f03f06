"""The example package is installed and adds a format; a package that cannot be loaded is named in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import dvspipe
from conftest import random_events
from facts import raises

from dvspipe import hooks
from dvspipe.base.errors import ConfigError, FormatError
from dvspipe.datasets import open_dataset
from dvspipe.datasets.config import DataConfig
from dvspipe.events import SensorSize
from dvspipe.formats import read, write
from dvspipe.hooks import find_function, hookimpl, plugins
from dvspipe.recordings.conversion import plan_conversions
from dvspipe.recordings.info import info
from dvspipe.recordings.sources import find_sources, is_video

EXAMPLE = Path(__file__).parents[2] / "examples" / "plug_in"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the installed example package."""
    folder = tmp_path_factory.mktemp("installed")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(EXAMPLE)]
    subprocess.run(command, check=True, timeout=300)
    return folder


@pytest.fixture
def evx(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(installed)
    plugins.cache_clear()
    yield installed
    plugins.cache_clear()


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package whose plug-in cannot be imported."""
    metadata = tmp_path / "installed" / "lab-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text("[dvspipe]\nlost = lab_missing.plugin\n")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    plugins.cache_clear()
    yield
    plugins.cache_clear()


@pytest.mark.usefixtures("evx")
def test_format_of_another_package_is_written_and_read(tmp_path: Path) -> None:
    events = random_events(0, 5_000)
    path = tmp_path / "a.evx"
    assert write(path, events) == 5_000
    assert read(path) == events
    assert info(path).format == "evx"

    os.truncate(path, path.stat().st_size - 1)
    with raises(FormatError, "a.evx", "truncated"):
        read(path)

    path.rename(tmp_path / "a.other")
    with raises(FormatError, "a.other", "not a recording of a known format", ".evx"):
        read(tmp_path / "a.other")


@pytest.mark.usefixtures("evx")
def test_commands_find_files_of_another_package(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.evx", random_events(0, 10))
    assert [path.name for path, _ in find_sources([tmp_path / "in"])] == ["a.evx"]
    [task] = plan_conversions(tmp_path / "in" / "a.evx", tmp_path / "b.evx")
    assert not is_video(task.source)
    assert "evx" in dvspipe("info", "in/a.evx", cwd=tmp_path).stdout


@pytest.mark.usefixtures("broken")
def test_package_that_cannot_be_loaded_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.lost").write_bytes(b"something")
    with raises(ConfigError, "plug-in lost of lab 1.2", "lab_missing") as raised:
        read(tmp_path / "a.lost")
    assert "\n" not in str(raised.value)


class Extra:
    """A plug-in with a function and a kind of data."""

    @hookimpl
    def functions(self) -> dict[str, str]:
        return {"wide": "dvspipe.events:SensorSize"}

    @hookimpl
    def data_kinds(self) -> dict[str, hooks.OpenKind]:
        return {"dots": lambda _root, seed, _options: self.list_recordings(seed, 12)}

    def list_recordings(self, seed: int, count: int) -> hooks.LabelledRecordings:
        events = random_events(seed, 50)
        recordings = [
            hooks.LabelledRecording(f"{number}", number % 2, f"{number}", lambda: events, f"{seed}")
            for number in range(count)
        ]
        return hooks.LabelledRecordings("dots", ("one", "two"), events.sensor, recordings)


@pytest.fixture
def extra() -> Iterator[Extra]:
    added = Extra()
    plugins().register(added, "extra")
    yield added
    plugins().unregister(name="extra")


@pytest.mark.usefixtures("extra")
def test_functions_and_kinds_of_data_come_from_plug_ins() -> None:
    import dvspipe

    assert dvspipe.wide is SensorSize  # type: ignore[attr-defined]
    assert find_function("nothing") is None
    data = open_dataset(DataConfig(data="dots", validation=0.2, seed=3))
    assert (data.title, data.classes) == ("dots", ("one", "two"))
    assert [len(samples) for samples in data.parts.values()] == [8, 2, 2]
    assert not {sample.group for sample in data.train} & {sample.group for sample in data.test}
    assert np.array_equal(data.train[0].read_content().t, random_events(3, 50).t)
