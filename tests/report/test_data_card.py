"""Data cards: facts of the lock, what may be published, and code that loads the recordings without dvspipe."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from commands import dvspipe
from conftest import random_events
from facts import mentions

from dvspipe.datasets import open_dataset, write_shards
from dvspipe.formats import write
from dvspipe.recordings.config import ConvertConfig
from dvspipe.recordings.conversion import convert_many, plan_conversions
from dvspipe.recordings.locking import write_lock
from dvspipe.report.data_card import CardDetails, DataCard, describe_publication
from dvspipe.results import SplitRow, write_splits
from dvspipe.results.splits import Part
from dvspipe.simulator import SimulatorConfig

NAMES = tuple(f"{name}/{number}" for name in ("wave", "clap") for number in range(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted folder with splits and a lock; the licences of its sources differ."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("out") / "two-classes"
    for number, name in enumerate(NAMES):
        write(sources / f"{name}.raw", random_events(number, 50))
    tasks = plan_conversions(sources, out)
    assert all(done.error is None for done in convert_many(tasks))

    parts: tuple[Part, ...] = ("train", "validation", "test")
    write_splits(
        out,
        [
            SplitRow(split=split, file=f"{name}.h5", class_name=name[:4], part=parts[number % 3])
            for split in (1, 2)
            for number, name in enumerate(NAMES)
        ],
    )
    licenses = {f"{name}.raw": "cc-by-4.0" for name in NAMES} | {"clap/1.raw": "research only"}
    video = ConvertConfig(simulator=SimulatorConfig(pos_thres=0.33))
    write_lock(out, tasks, video, license={name: text for name, text in licenses.items() if name != "wave/2.raw"})
    return out


def test_card_has_the_facts_of_the_lock_and_the_metadata_of_the_hub(folder: Path) -> None:
    card = DataCard.of(folder, CardDetails(("A. <b>Author",), about="People wave and clap."))
    _, head, body = card.format().split("---\n", 2)
    metadata = yaml.safe_load(head)
    assert (metadata["pretty_name"], metadata["license"]) == ("two-classes", "other")
    assert (metadata["task_categories"], metadata["size_categories"]) == (["video-classification"], ["n<1K"])
    assert mentions(body, "People wave and clap.", "6 recordings", "2 classes", "300 events", "A. \\<b>Author")
    assert mentions(body, "| 1 | 2 | 2 | 2 |", "| 2 | 2 | 2 | 2 |", "simulator.pos_thres: 0.33")


def test_missing_and_closed_licences_leave_the_recipe(folder: Path) -> None:
    lines = describe_publication(DataCard.of(folder))
    assert len(lines) == 3
    assert mentions(lines[0], "recipe", "dataset.lock", "splits.csv")
    assert mentions(lines[1], "1 source", "without", "wave/2.raw")
    assert mentions(lines[2], "1 source", "research only", "clap/1.raw")


@pytest.mark.parametrize(
    ("license_of_sources", "is_open"),
    [("cc-by-4.0", True), ("CC0-1.0", True), ("cc-by-nc-nd-4.0", False), ("research-only", False), ("", False)],
)
def test_open_licences_allow_to_publish_the_events(folder: Path, license_of_sources: str, is_open: bool) -> None:
    card = DataCard.of(folder)
    files = tuple(file.model_copy(update={"license": license_of_sources or None}) for file in card.lock.files)
    single = DataCard("x", type(card.lock)(card.lock.header, files), None)
    assert (not single.restrictions) is is_open
    assert single.license == (license_of_sources if is_open else "other")


@pytest.mark.filterwarnings("ignore")
def test_code_of_the_card_loads_the_recordings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("webdataset", reason="needs webdataset")
    monkeypatch.chdir(folder)
    write_shards(folder / "shards", open_dataset(folder), root=folder)
    try:
        names: dict[str, object] = {}
        blocks = re.findall(r"^```python\n(.*?)^```", DataCard.of(folder).format(), re.MULTILINE | re.DOTALL)
        assert len(blocks) == 4
        for block in blocks:
            exec(block, names)
    finally:
        for path in (folder / "shards").iterdir():
            path.unlink()
        (folder / "shards").rmdir()
    assert len(names["t"]) == 50  # type: ignore[arg-type]
    assert names["frames"].sum() in (49, 50)  # type: ignore[attr-defined]  # Tonic may drop the last event
    assert names["files"] == [("clap/0.h5", "clap"), ("wave/0.h5", "wave")]


def test_command_writes_card_and_croissant_metadata(folder: Path) -> None:
    written = dvspipe("data", "card", folder, "--author", "A. Author", "--license", "cc-by-4.0", "--overwrite")
    assert mentions(written.stdout, "README.md", "research only")
    metadata = json.loads((folder / "croissant.json").read_text())
    assert (metadata["license"], metadata["creator"][0]["name"]) == ("cc-by-4.0", "A. Author")
    fields = [field["name"] for field in metadata["recordSet"][0]["field"]]
    assert fields == ["split", "file", "class", "part", "group"]

    croissant = pytest.importorskip("mlcroissant", reason="needs mlcroissant")
    loaded = croissant.Dataset(jsonld=folder / "croissant.json")
    assert not loaded.metadata.issues.errors
    assert len(list(loaded.records("splits"))) == 12
