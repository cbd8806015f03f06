"""Classifiers shipped with dvspipe."""

from __future__ import annotations

import os
import re
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from facts import raises

from dvspipe import Classifier, Events
from dvspipe.base.errors import CheckpointError
from dvspipe.base.gestures import GESTURES
from dvspipe.checkpoints.checkpoint import SHIPPED, load_checkpoint, load_config, shipped_checkpoints
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


@pytest.mark.parametrize("name", ["gestuer", "gesture-films", "gesture-clean"])
def test_similar_and_former_names_suggest_the_included_one(name: str) -> None:
    with raises(CheckpointError, name, "did you mean gesture?"):
        load_checkpoint(name)


def test_recordings_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "events.h5").touch()
    with raises(CheckpointError, "events.h5", "found a .h5 file", ".safetensors"):
        load_checkpoint(tmp_path / "events.h5")


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_shipped_card_matches_its_record(name: str) -> None:
    card = (SHIPPED / f"{name}.md").read_text(encoding="utf-8")
    _, network = load_checkpoint(name)
    assert card == write_shipped_card(name), "run scripts/docs/cards.py"
    assert f"\ndvspipe train {ShippedRecord.read(SHIPPED / f'{name}.json').config} " in card
    assert f"{sum(weights.numel() for weights in network.parameters()):,} parameters" in card
    assert "ynthetic training data" in card


def test_all_included_weights_have_a_record_of_their_sources() -> None:
    for weights in SHIPPED.rglob("*.safetensors"):  # joints belong to a classifier
        assert ShippedRecord.read(SHIPPED / f"{weights.stem}.json").sources, weights


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_products_may_use_all_sources_of_included_weights(name: str) -> None:
    for source in ShippedRecord.read(SHIPPED / f"{name}.json").sources:
        assert source.terms, f"{source.name}: states no terms"
        assert source.commercial, f"{source.name}: {source.terms}"
        assert not re.search(r"\bNC\b|non-?commercial|research only", source.terms, re.IGNORECASE), source.terms


def test_card_lists_the_sources_with_their_terms() -> None:
    record = ShippedRecord.read(SHIPPED / "nmnist-synthetic.json")
    card = write_shipped_card("nmnist-synthetic")
    for source in record.sources:
        assert f"| {source.name} | {source.used} | {source.terms} | yes |" in card
        assert f"\n- {source.citation}\n" in card


def test_an_unknown_name_lists_those_that_there_are() -> None:
    with raises(CheckpointError, "gesture", "nmnist-synthetic"):
        load_checkpoint("unknown")


def test_gestures_of_unseen_people_are_classified() -> None:
    """A person from another seed performs each gesture except other_gestures."""
    classifier, labels = Classifier.load("gesture"), range(len(GESTURES) - 1)
    named = [
        classifier.predict(record_gesture(GestureClip(label, person=0, clip=0, seed=99))).label for label in labels
    ]
    assert np.mean(np.array(named) == labels) >= 0.8


def test_gesture_classifier_has_an_energy_threshold() -> None:
    assert load_config("gesture").least_energy is not None


@pytest.mark.skipif(not DATA.is_dir(), reason="DVSPIPE_TEST_DATA names no folder of real recordings")
@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize(
    ("file", "name", "mirrored"),
    [
        ("1.bs2", "hand_clapping", "hand_clapping"),
        ("2.bs2", "right_hand_wave", "left_hand_wave"),
        ("8.bs2", "arm_roll", "arm_roll"),
    ],
)
def test_real_gestures_are_classified(file: str, name: str, mirrored: str, is_mirrored: bool) -> None:
    events = read(DATA / "gesture" / file, hints=Hints(sensor=str(GESTURE_SENSOR)))
    if is_mirrored:
        events = Events(events.t, events.sensor.width - 1 - events.x, events.y, events.p, events.sensor)
    prediction = Classifier.load("gesture").predict(events)
    assert prediction.class_name == (mirrored if is_mirrored else name)


@pytest.mark.skipif(not DATA.is_dir(), reason="DVSPIPE_TEST_DATA names no folder of real recordings")
def test_real_digits_are_classified() -> None:
    classifier = Classifier.load("nmnist-synthetic")
    files = sorted((DATA / "nmnist" / "Test").glob("*/*.bin"))
    right = [classifier.predict(file).class_name == file.parent.name for file in files]
    assert len(right) == 50
    assert sum(right) >= 47
