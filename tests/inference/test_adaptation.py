"""Adaptation of batch norms to unlabelled recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import dvspipe
from conftest import BAR_CLASSES, moving_bar, write_bars
from facts import mentions, raises

from dvspipe import adapt, infer, train
from dvspipe.base.errors import CheckpointError, ConfigError, DataError, FileError
from dvspipe.encoding import encode
from dvspipe.events import Events, concatenate
from dvspipe.formats import write
from dvspipe.inference import Adaptation, Classifier, Predictions
from dvspipe.inference import adaptation as module
from dvspipe.networks import NetworkConfig, find_norms
from dvspipe.results import AdaptationRecord
from dvspipe.training import TrainConfig

EACH = 8  # recordings per class


def repeat(events: Events, times: int = 3) -> Events:
    """Simulate a sensor that reads out each event several times."""
    pixel = np.repeat(np.arange(len(events)), times)
    return Events(events.t[pixel], events.x[pixel], events.y[pixel], events.p[pixel], events.sensor)


def bars(labels: tuple[int, ...] = (0, 1, 2), first: int = 100) -> list[Events]:
    return [moving_bar(label, first + number) for number in range(EACH) for label in labels]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Network trained to classify the direction of moving bars."""
    root = tmp_path_factory.mktemp("bars")
    config = {
        "steps": 5,
        "step_us": 20000,
        "root": str(write_bars(root / "data")),
        "channels": [6, 6],
        "kernel": 3,
        "tau_mem_s": 0.04,
        "epochs": 6,
        "batch": 8,
        "learning_rate": 0.02,
    }
    return train(TrainConfig.model_validate(config), out=root / "run").checkpoint


@pytest.fixture
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint)


@pytest.fixture(scope="module")
def shifted() -> list[Events]:
    return [repeat(each) for each in bars()]


@pytest.fixture(scope="module")
def full(checkpoint: Path, shifted: list[Events]) -> Adaptation:
    """Adaptation to a sensor that reads out each event several times, at full strength."""
    return adapt(Classifier.load(checkpoint), shifted, strength=1.0)


def statistics(classifier: Classifier) -> list[torch.Tensor]:
    norms = find_norms(classifier.network)
    return [norm.get_buffer(name) for norm in norms for name in ("running_mean", "running_var")]


def accuracy(classifier: Classifier, recordings: list[Events], labels: list[int]) -> float:
    predicted = [classifier.predict(each).class_name for each in recordings]
    return float(np.mean(np.equal(predicted, [BAR_CLASSES[label] for label in labels])))


def test_norms_move_towards_the_statistics_of_the_recordings(
    classifier: Classifier, shifted: list[Events], full: Adaptation
) -> None:
    """Compare the first norm with a computation from the definition."""
    share = full.record.strength
    assert share > 0.4
    spikes = torch.from_numpy(np.stack([encode(each, classifier.config.bins) for each in shifted], axis=1))
    convolution = next(layer for layer in classifier.network.modules() if isinstance(layer, torch.nn.Conv2d))
    currents = convolution(spikes.float().flatten(0, 1)).transpose(0, 1).flatten(1).detach()

    before_mean, before_variance, *_ = statistics(classifier)
    mean, variance, *_ = statistics(full.classifier)
    torch.testing.assert_close(mean, (1 - share) * before_mean + share * currents.mean(1), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(variance, (1 - share) * before_variance + share * currents.var(1), atol=1e-3, rtol=1e-2)


def test_adaptation_changes_neither_its_input_nor_the_accuracy(classifier: Classifier, full: Adaptation) -> None:
    test, labels = [repeat(each) for each in bars(first=200)], [0, 1, 2] * EACH
    before = classifier.digest
    assert accuracy(full.classifier, test, labels) >= accuracy(classifier, test, labels)
    assert accuracy(adapt(classifier, bars()).classifier, bars(first=200), labels) >= 0.9
    assert Classifier(classifier.config, classifier.network).digest == before != full.classifier.digest


def test_strength_zero_and_a_single_predicted_class_change_nothing(
    classifier: Classifier, shifted: list[Events]
) -> None:
    none = adapt(classifier, shifted, strength=0.0).classifier
    torch.testing.assert_close(statistics(classifier), statistics(none))
    alone = [each for each in bars((0,)) if classifier.predict(each).class_name == BAR_CLASSES[0]]
    adaptation = adapt(classifier, alone, strength=1.0)
    assert adaptation.record.strength == 0
    torch.testing.assert_close(statistics(classifier), statistics(adaptation.classifier))


def test_sample_is_bounded_and_without_quiet_windows(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = moving_bar(0, 400, 6)
    still = Events([busy.t[-1] + 250_000, busy.t[-1] + 650_000], [1, 2], [1, 2], [1, 1], busy.sensor)
    recordings = [busy, concatenate([busy, still], busy.sensor)]
    assert adapt(classifier, recordings).record.windows == 12
    monkeypatch.setattr(module, "MAX_WINDOWS", 5)
    record = adapt(classifier, recordings).record
    assert (record.recordings, record.windows, sum(record.before), sum(record.after)) == (2, 5, 5, 5)


def test_unusable_recordings_and_settings_are_named(classifier: Classifier, tmp_path: Path) -> None:
    adaptation = adapt(classifier, [*bars(), tmp_path / "none.h5"])
    assert (adaptation.record.skipped, adaptation.record.recordings) == (1, 3 * EACH)
    assert "none.h5" in adaptation.problem
    with raises(FileError, "none.h5"):
        adapt(classifier, [str(tmp_path / "none.h5")])
    with raises(DataError, "3", "4"):
        adapt(classifier, bars()[:3])
    for strength in (-0.1, 1.1, float("nan")):
        with raises(ConfigError, f"strength = {strength:g}"):
            adapt(classifier, bars(), strength=strength)

    plain = classifier.config.model_copy(update={"network": NetworkConfig(network="mlp", channels=(4,))})
    with raises(CheckpointError, "m.safetensors", "batch norm"):
        adapt(Classifier(plain, plain.build_network(), "m.safetensors"), bars())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for label, name in enumerate(BAR_CLASSES):
        for number in range(2):
            write(tmp_path / "data" / f"{name}{number}.h5", repeat(moving_bar(label, 500 + number)))
    return tmp_path / "data"


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_stored_predictions_depend_on_adapted_recordings(jobs: int, data: Path, checkpoint: Path) -> None:
    out, calls = data.parent / "out", []

    def classify(recordings: list[Path], **options: Any) -> Predictions:
        return infer(checkpoint, recordings, out, jobs=jobs, pictures=False, **options)

    predictions = classify([data], adapt=True, progress=lambda *now: calls.append(now))
    files = sorted(data.iterdir())
    adapted = adapt(checkpoint, files).classifier
    for prediction, file in zip(predictions, files, strict=True):
        assert prediction.probabilities == pytest.approx(adapted.predict(file).probabilities, abs=1e-5)
        assert mentions(prediction.trained_on, "6 windows", "6 recordings")
    assert calls == sorted(calls)
    assert calls[-1] == (2, 2)  # adapted and classified

    assert [*classify([data], adapt=True)] == [prediction.as_stored() for prediction in predictions]
    for those, is_adapted in ((files[1:], True), ([data], False)):
        with raises(FileError, "adapted_to"):
            classify(those, adapt=is_adapted)


def test_command_writes_a_checkpoint_that_records_the_adaptation(data: Path, checkpoint: Path) -> None:
    folder = data.parent
    command = ["adapt", checkpoint, data, "-o", "new.safetensors"]
    record = AdaptationRecord.model_validate(json.loads(dvspipe(*command, "--json", cwd=folder).stdout))
    assert (record.windows, record.recordings, sum(record.after)) == (6, 6, 6)
    adapted = Classifier.load(folder / "new.safetensors")
    assert mentions(adapted.config.trained_on, Classifier.load(checkpoint).config.trained_on, "6 windows")
    assert mentions(dvspipe("infer", "new.safetensors", data, cwd=folder).stdout, "6 windows", "6 recordings")

    dvspipe(*command, cwd=folder, code=2)
    assert Classifier.load(folder / "new.safetensors").digest == adapted.digest
    assert mentions(dvspipe(*command, "--overwrite", cwd=folder).stdout, "6 windows", "6 recordings")
    assert mentions(
        dvspipe("adapt", checkpoint, data, "-o", "new.txt", cwd=folder, code=2).stderr, "new.txt", ".safetensors"
    )
