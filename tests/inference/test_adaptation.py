"""Adaptation of batch norms to unlabelled recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import dvspipe
from conftest import BAR_CLASSES, moving_bar
from facts import mentions, raises

from dvspipe import adapt
from dvspipe.base.errors import CheckpointError, DataError, FileError
from dvspipe.encoding import encode
from dvspipe.events import Events, concatenate
from dvspipe.formats import read, write
from dvspipe.inference import Classifier
from dvspipe.inference import adaptation as module
from dvspipe.networks import NetworkConfig, find_norms
from dvspipe.results import TrainingRun

EACH = 8  # recordings per class


def repeat(events: Events, times: int = 3) -> Events:
    """Simulate a sensor that reads out each event several times."""
    pixel = np.repeat(np.arange(len(events)), times)
    return Events(events.t[pixel], events.x[pixel], events.y[pixel], events.p[pixel], events.sensor)


def bars(labels: tuple[int, ...] = (0, 1, 2), first: int = 100) -> list[Events]:
    return [moving_bar(label, first + number) for number in range(EACH) for label in labels]


@pytest.fixture(scope="module")
def checkpoint(train_bars: Callable[..., TrainingRun]) -> Path:
    """Network trained to classify the direction of moving bars."""
    return train_bars(epochs=6, shift_px=0).checkpoint


@pytest.fixture
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint)


def write_all(folder: Path, recordings: list[Events]) -> Path:
    for number, events in enumerate(recordings):
        write(folder / f"{number:02}.h5", events)
    return folder


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of a sensor that reads out each event several times."""
    return write_all(tmp_path_factory.mktemp("shifted"), [repeat(each) for each in bars()])


def statistics(classifier: Classifier) -> list[torch.Tensor]:
    norms = find_norms(classifier.network)
    return [norm.get_buffer(name) for norm in norms for name in ("running_mean", "running_var")]


def accuracy(classifier: Classifier, recordings: list[Events], labels: list[int]) -> float:
    predicted = [classifier.predict(each).class_name for each in recordings]
    return float(np.mean(np.equal(predicted, [BAR_CLASSES[label] for label in labels])))


def test_norms_move_towards_the_statistics_of_the_recordings(classifier: Classifier, shifted: Path) -> None:
    """Compare the first norm with a computation from the definition."""
    adapted = adapt(classifier, shifted)
    recordings = [read(file) for file in sorted(shifted.iterdir())]
    spikes = torch.from_numpy(np.stack([encode(each, classifier.config.bins) for each in recordings], axis=1))
    convolution = next(layer for layer in classifier.network.modules() if isinstance(layer, torch.nn.Conv2d))
    currents = convolution(spikes.float().flatten(0, 1)).transpose(0, 1).flatten(1).detach()

    # The share is the same for all channels and statistics, and at most one half.
    before, after = statistics(classifier), statistics(adapted)
    shares = [(after[k] - before[k]) / (own - before[k]) for k, own in enumerate((currents.mean(1), currents.var(1)))]
    share = float(torch.cat(shares).mean())
    assert 0.2 < share <= 0.5
    torch.testing.assert_close(torch.cat(shares), torch.full((12,), share), atol=0.02, rtol=0)


def test_adaptation_changes_neither_its_input_nor_the_accuracy(
    classifier: Classifier, shifted: Path, tmp_path: Path
) -> None:
    test, labels = [repeat(each) for each in bars(first=200)], [0, 1, 2] * EACH
    before = classifier.digest
    adapted = adapt(classifier, shifted)
    assert accuracy(adapted, test, labels) >= accuracy(classifier, test, labels)
    assert accuracy(adapt(classifier, write_all(tmp_path, bars())), bars(first=200), labels) >= 0.9
    assert Classifier(classifier.config, classifier.network).digest == before != adapted.digest


def test_a_single_predicted_class_changes_nothing(classifier: Classifier, tmp_path: Path) -> None:
    alone = [each for each in bars((0,)) if classifier.predict(each).class_name == BAR_CLASSES[0]]
    adapted = adapt(classifier, write_all(tmp_path, alone))
    torch.testing.assert_close(statistics(classifier), statistics(adapted))


def test_sample_is_bounded_and_without_quiet_windows(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = moving_bar(0, 400, 6)
    still = Events([busy.t[-1] + 250_000, busy.t[-1] + 650_000], [1, 2], [1, 2], [1, 1], busy.sensor)
    folder = write_all(tmp_path, [busy, concatenate([busy, still], busy.sensor)])
    assert adapt(classifier, folder).config.trained_on.endswith("adapted to 12 windows of 2 recordings")
    monkeypatch.setattr(module, "MAX_WINDOWS", 5)
    assert adapt(classifier, folder).config.trained_on.endswith("adapted to 5 windows of 2 recordings")


def test_unusable_recordings_and_networks_are_named(classifier: Classifier, tmp_path: Path) -> None:
    files = sorted(write_all(tmp_path / "bars", bars()).iterdir())
    with raises(FileError, "none.h5"):
        adapt(classifier, [*files, tmp_path / "none.h5"])
    with raises(DataError, "3", "4"):
        adapt(classifier, files[:3])

    plain = classifier.config.model_copy(update={"network": NetworkConfig(network="mlp", channels=(4,))})
    with raises(CheckpointError, "m.safetensors", "batch norm"):
        adapt(Classifier(plain, plain.build_network(), "m.safetensors"), files)


def test_command_writes_a_checkpoint_that_records_the_adaptation(
    checkpoint: Path, shifted: Path, tmp_path: Path
) -> None:
    command = ["adapt", checkpoint, shifted, "-o", "new.safetensors"]
    assert mentions(dvspipe(*command, cwd=tmp_path).output, "24 windows", "24 recordings", "new.safetensors")
    adapted = Classifier.load(tmp_path / "new.safetensors")
    assert mentions(adapted.config.trained_on, Classifier.load(checkpoint).config.trained_on, "24 windows")
    assert adapted.digest == adapt(checkpoint, shifted).digest

    dvspipe(*command, cwd=tmp_path, code=2)
    said = dvspipe("adapt", checkpoint, shifted, "-o", "new.txt", cwd=tmp_path, code=2).stderr
    assert mentions(said, "new.txt", ".safetensors")
