"""Classifiers shipped with dvspipe."""

from __future__ import annotations

import os
import re
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from dvspipe import Classifier, Events
from dvspipe.base.gestures import GESTURES
from dvspipe.checkpoints.checkpoint import SHIPPED, load_checkpoint, shipped_checkpoints
from dvspipe.events import GESTURE_SENSOR
from dvspipe.formats import Hints, read
from dvspipe.results import ShippedRecord
from dvspipe.synthesis import GestureClip, record_gesture

DATA = Path(os.environ.get("DVSPIPE_TEST_DATA", "nowhere"))
CARDS = Path(__file__).parents[2] / "scripts" / "docs" / "cards.py"
write_shipped_card = run_path(str(CARDS))["write_shipped_card"]


def test_two_small_classifiers_are_shipped() -> None:
    assert shipped_checkpoints() == ["gesture", "nmnist-synthetic"]
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 3e6


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_shipped_card_matches_its_record(name: str) -> None:
    card = (SHIPPED / f"{name}.md").read_text(encoding="utf-8")
    _, network = load_checkpoint(name)
    assert card == write_shipped_card(name), "run scripts/docs/cards.py"
    assert f"\ndvspipe train {ShippedRecord.read(SHIPPED / f'{name}.json').config} " in card
    assert f"{sum(weights.numel() for weights in network.parameters()):,} parameters" in card
    assert "ynthetic training data" in card


@pytest.mark.parametrize("weights", [*SHIPPED.rglob("*.safetensors")], ids=lambda path: path.stem)
def test_products_may_use_all_sources_of_included_weights(weights: Path) -> None:
    record = ShippedRecord.read(SHIPPED / f"{weights.stem}.json")  # joints belong to a classifier
    assert record.sources
    for source in record.sources:
        assert source.terms, f"{source.name}: states no terms"
        assert source.commercial, f"{source.name}: {source.terms}"
        assert not re.search(r"\bNC\b|non-?commercial|research only", source.terms, re.IGNORECASE), source.terms


def test_gestures_of_unseen_people_are_classified() -> None:
    """A person from another seed performs every second gesture."""
    classifier = Classifier.load("gesture")
    assert classifier.config.least_energy is not None
    labels = range(0, len(GESTURES) - 1, 2)
    clips = [record_gesture(GestureClip(label, person=0, clip=0, seed=99)) for label in labels]
    predicted = [classifier.predict(clip).label for clip in clips]
    assert np.mean(np.array(predicted) == labels) >= 0.8


@pytest.mark.skipif(not DATA.is_dir(), reason="DVSPIPE_TEST_DATA names no folder of real recordings")
@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize(
    ("file", "name"), [("1.bs2", "hand_clapping"), ("2.bs2", "right_hand_wave"), ("8.bs2", "arm_roll")]
)
def test_real_gestures_are_classified(file: str, name: str, is_mirrored: bool) -> None:
    events = read(DATA / "gesture" / file, hints=Hints(sensor=str(GESTURE_SENSOR)))
    if is_mirrored:
        events = Events(events.t, events.sensor.width - 1 - events.x, events.y, events.p, events.sensor)
        name = name.replace("right", "left")
    assert Classifier.load("gesture").predict(events).class_name == name


@pytest.mark.skipif(not DATA.is_dir(), reason="DVSPIPE_TEST_DATA names no folder of real recordings")
def test_real_digits_are_classified() -> None:
    classifier = Classifier.load("nmnist-synthetic")
    files = sorted((DATA / "nmnist" / "Test").glob("*/*.bin"))
    right = [classifier.predict(file).class_name == file.parent.name for file in files]
    assert len(right) == 50
    assert sum(right) >= 47
