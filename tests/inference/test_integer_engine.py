"""Classifiers in integers: the scores of the numpy reference, without the network in PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BAR_CLASSES, BAR_SENSOR, moving_bar
from facts import raises

from dvspipe.base.errors import CheckpointError, ConfigError
from dvspipe.checkpoints.checkpoint import ClassifierConfig, save_checkpoint, shipped_checkpoints
from dvspipe.checkpoints.integer import IntegerClassifier, stores_integers
from dvspipe.encoding import BinConfig, encode
from dvspipe.inference import Classifier
from dvspipe.networks import CsnnConfig
from dvspipe.networks.integer import run, trace
from dvspipe.networks.quantisation import quantise
from dvspipe.results import LayerActivity
from dvspipe.verbs.classification import adapt

CONFIG = ClassifierConfig(
    classes=BAR_CLASSES,
    width=BAR_SENSOR.width,
    height=BAR_SENSOR.height,
    bins=BinConfig(steps=5, step_us=20_000),
    network=CsnnConfig(channels=(4, 6), kernel=3, tau_mem_s=0.04, gain=4.0),
)


@pytest.fixture(scope="module")
def compiled() -> IntegerClassifier:
    torch.manual_seed(0)
    counts = torch.from_numpy(encode(moving_bar(1, 3), CONFIG.bins))
    return IntegerClassifier(CONFIG, quantise(CONFIG.build_network().eval(), counts[:, None]))


@pytest.fixture
def saved(compiled: IntegerClassifier, tmp_path: Path) -> Path:
    compiled.save(tmp_path / "bars8.safetensors")
    return tmp_path / "bars8.safetensors"


def test_logits_of_windows_are_scores_in_units_of_the_readout(compiled: IntegerClassifier, saved: Path) -> None:
    classifier, found = Classifier.load(saved), []
    classifier.classify(
        moving_bar(2, 5, windows=3),
        hop_us=60_000,
        on_windows=lambda batch, logits: found.extend(zip(batch, logits, strict=True)),
    )
    assert len(found) > 2
    for window, logits in found:
        scores = run(compiled.network, window.spikes)[-1]
        assert (logits == (compiled.network.readout.unit * scores / 5).astype(np.float32)).all()


def test_probabilities_are_the_softmax_of_calibrated_logits(saved: Path) -> None:
    classifier, found = Classifier.load(saved), []
    prediction = classifier.classify(moving_bar(0, 0), on_windows=lambda _, logits: found.append(logits[0]))
    powers = np.exp(found[0] / CONFIG.temperature)
    assert prediction.probabilities == pytest.approx(powers / powers.sum(), rel=1e-5)


def test_activity_counts_the_spikes_of_the_reference(compiled: IntegerClassifier, saved: Path) -> None:
    events = moving_bar(0, 4)
    steps = [*trace(compiled.network, encode(events, CONFIG.bins))]
    layers = Classifier.load(saved).classify(events).layers
    assert [layer.name for layer in layers] == ["lif1", "lif2", "readout"]
    for number, layer in enumerate(layers[:-1]):
        done = [step.layers[number] for step in steps]
        assert layer.spikes_in == sum(int(each.inputs.sum()) for each in done)
        assert layer.rate == pytest.approx(np.mean([each.spikes for each in done]))
    assert layers[-1].spikes_in == sum(int(step.features.sum()) for step in steps)


def test_layers_have_the_sizes_of_the_original_network(compiled: IntegerClassifier) -> None:
    """Spikes differ, because the weights are rounded."""

    def sizes(layers: tuple[LayerActivity, ...]) -> list[tuple[object, ...]]:
        return [
            (each.name, each.neurons, each.connections, each.fan_out, each.steps, each.multiplies) for each in layers
        ]

    torch.manual_seed(0)
    original = Classifier(CONFIG, CONFIG.build_network()).classify(moving_bar(0, 0)).layers
    assert sizes(original) == sizes(Classifier(CONFIG, compiled.network).classify(moving_bar(0, 0)).layers)


def test_network_in_integers_only_classifies(saved: Path) -> None:
    with raises(ConfigError, saved.name):
        adapt(Classifier.load(saved), [moving_bar(0, 0)])


def test_integers_are_required_on_demand(compiled: IntegerClassifier, saved: Path, tmp_path: Path) -> None:
    assert stores_integers(saved)
    digest = Classifier.load(saved, engine="integer").digest
    assert digest == Classifier.load(saved).digest == Classifier(CONFIG, compiled.network).digest
    save_checkpoint(tmp_path / "bars.safetensors", CONFIG, CONFIG.build_network())
    assert not stores_integers(tmp_path / "bars.safetensors")
    with raises(CheckpointError, "bars.safetensors", "dvspipe-integer-1"):
        Classifier.load(tmp_path / "bars.safetensors", engine="integer")
    with raises(CheckpointError, tmp_path.name, "folder"):
        Classifier.load(tmp_path, engine="integer")


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_included_classifier_has_a_version_in_integers(name: str) -> None:
    classifier = Classifier.load(name, engine="integer")
    assert classifier.checkpoint == f"{name}-int8"
    assert classifier.config.model_dump(exclude={"temperature"}) == Classifier.load(name).config.model_dump(
        exclude={"temperature"}
    )
    assert Classifier.load(f"{name}-int8").digest == classifier.digest
