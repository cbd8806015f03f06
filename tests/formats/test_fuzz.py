"""All formats: mutated files are read or rejected; written files are read back; the table in docs is complete."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import SENSOR, random_events

from dvspipe.formats import FORMATS, read, write, written_suffixes
from dvspipe.formats.bin40 import BIN40

ROOT = Path(__file__).parents[2]
SPECIALS = ("empty", "folder", "device", "pipe", "nowhere", "bomb")
CASES = 400
SUFFIXES = written_suffixes()


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = ROOT / "scripts" / "faults" / "fuzz_formats.py"
    spec = importlib.util.spec_from_file_location("fuzz_formats", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_formats"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def seeds(fuzz: ModuleType) -> list:
    return fuzz.make_seeds(None)


def test_every_format_has_a_readable_seed_file(fuzz: ModuleType, seeds: list, tmp_path: Path) -> None:
    assert {seed.format for seed in seeds} == set(FORMATS)
    for seed in seeds:
        path = tmp_path / f"seed{seed.suffix}"
        path.write_bytes(seed.content)
        assert fuzz.check_reading(path, fuzz.Case(seed, None, seed.suffix, (), seed.sensor), limited=False) == "read", (
            seed.name
        )
        assert len(seed.events) > 0


def test_mutated_files_are_read_or_rejected(fuzz: ModuleType, seeds: list, tmp_path: Path) -> None:
    first = len(seeds) * len(SPECIALS)
    verdicts = [(number, fuzz.run_case(number, seeds, tmp_path)) for number in range(first, first + CASES)]
    assert [(number, verdict.message) for number, verdict in verdicts if verdict.kind == "finding"] == []
    assert {verdict.kind for _, verdict in verdicts} == {"read", "corrupted", "refused"}
    assert list(tmp_path.iterdir()) == []


def test_random_bytes_are_rejected_by_every_format(fuzz: ModuleType, seeds: list, tmp_path: Path) -> None:
    bomb = SPECIALS.index("bomb")
    numbers = [number for number in range(len(seeds) * len(SPECIALS)) if number % len(SPECIALS) != bomb]
    assert {fuzz.run_case(number, seeds, tmp_path).kind for number in numbers} == {"refused"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_files_are_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    for count, start_us in ((0, 0), (1, 17), (300, 40_000_000)):
        if (
            count or suffix not in BIN40.suffixes
        ):  # formats without a header: no events give an empty file, and empty files are rejected
            events = random_events(1, count, span_us=3_000_000).shift_time(start_us)
            write(path, events, overwrite=True)
            assert read(path, sensor=SENSOR) == events


def test_documentation_table_lists_every_format_and_suffix() -> None:
    page = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line[:1] == "|"]
    cells = {row.split("|")[1].strip().strip("`"): row.split("|")[2:] for row in reversed(rows)}  # first name
    for name, known in FORMATS.items():
        assert {word.strip().strip("`") for word in cells[name][0].split(",")} == set(known.suffixes), name
    written = {  # those that are named, or all of the format
        suffix
        for name in FORMATS
        if (cell := cells[name][1].strip())
        for suffix in ([cell.strip("`")] if cell.startswith("`") else FORMATS[name].suffixes)
    }
    assert written >= set(SUFFIXES)
