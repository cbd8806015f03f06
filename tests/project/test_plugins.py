"""The example package is installed and adds a format; packages that do not fit are named in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import random_events
from facts import raises

from dvspipe.base.errors import FileError, FormatError
from dvspipe.base.plugins import find_plugins
from dvspipe.formats import info, read, write
from dvspipe.recordings.conversion import find_sources, plan_conversions

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
def plugin(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(installed)
    find_plugins.cache_clear()
    yield installed
    find_plugins.cache_clear()


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of an installed package whose plug-ins cannot be used."""
    folder = tmp_path / "installed"
    metadata = folder / "lab-1.2.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.2\n")
    formats = "[dvspipe.formats]\nlost = lab_missing:FORMAT\nwords = lab_words:FORMAT\nother = lab_words:EVX\n"
    (metadata / "entry_points.txt").write_text(formats)
    (folder / "lab_words.py").write_text(
        "from dvspipe.formats import Format\nFORMAT = 'text'\nEVX = Format('evx', ('.other',), lambda *_: True, None)\n"
    )
    monkeypatch.syspath_prepend(folder)
    find_plugins.cache_clear()
    yield folder
    find_plugins.cache_clear()


@pytest.mark.usefixtures("plugin")
def test_format_of_another_package_is_written_and_read(tmp_path: Path) -> None:
    events = random_events(0, 5_000)
    path = tmp_path / "a.evx"
    assert write(path, events) == 5_000
    assert read(path) == events
    assert info(path).format == "evx"

    path.rename(tmp_path / "a.other")
    with raises(FormatError, "a.other", "not a recording of a known format", ".evx"):
        read(tmp_path / "a.other")


@pytest.mark.usefixtures("plugin")
def test_commands_find_files_of_another_package(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.evx", random_events(0, 10))
    assert [path.name for path, _ in find_sources([tmp_path / "in"])] == ["a.evx"]
    [task] = plan_conversions(tmp_path / "in" / "a.evx", tmp_path / "b.evx")
    assert task.kind.format_name == "evx"


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("suffix", "fact"), [("lost", "lab_missing"), ("words", "found str"), ("other", "found evx, expected")]
)
def test_a_format_that_cannot_be_used_is_named_in_one_line(suffix: str, fact: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"something")
    with raises(FormatError, f"a.{suffix}", f"plug-in {suffix} of lab 1.2", fact) as raised:
        read(path)
    assert "\n" not in str(raised.value)
    with raises(FileError, f"plug-in {suffix} of lab 1.2"):
        write(tmp_path / f"b.{suffix}", random_events(0, 3))


def test_importing_dvspipe_reads_no_entry_points() -> None:
    code = (
        "import dvspipe.cli.app; from dvspipe.base.plugins import find_plugins; print(find_plugins.cache_info().misses)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert shown.stdout.split() == ["0"]
