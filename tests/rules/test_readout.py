"""The readout fitted to few recordings: features, gradient, ridge regression, training and inference."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import dvspipe
from conftest import BAR_CLASSES, moving_bar, write_bars
from facts import mentions, raises
from torch import Tensor, nn

from dvspipe.base.config import build
from dvspipe.base.errors import ArgumentError, ConfigError, DataError
from dvspipe.base.trees import SettingsTree, merge_settings
from dvspipe.checkpoints.checkpoint import read_checkpoint
from dvspipe.events import Events, SensorSize
from dvspipe.formats import write
from dvspipe.inference import Classifier, adapt_readout
from dvspipe.networks import CsnnConfig, SpikingNetwork, parse_network
from dvspipe.results import RunFolder, TestResult
from dvspipe.rules import find_readout, fit_readout, read_features, replace_readout
from dvspipe.rules import readout as module
from dvspipe.training import TrainConfig
from dvspipe.verbs.training import train

GRID = SensorSize(width=12, height=7)
T, B, K = 6, 9, 4


def network_of(**settings: Any) -> SpikingNetwork:
    torch.manual_seed(0)
    kernel = {} if settings.get("kind") == "mlp" else {"kernel": 3}
    config = parse_network(
        {"channels": [5, 6], "tau_mem_s": 0.02, "tau_readout_s": 0.05, "gain": 3.0} | kernel | settings
    )
    return SpikingNetwork(config, grid=GRID, classes=K, dt=0.01).double().eval()


def draw_spikes(batch: int = B) -> Tensor:
    return (torch.rand(T, batch, 2, GRID.height, GRID.width, generator=torch.Generator().manual_seed(1)) < 0.4).double()


def draw_samples(count: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """Draw features [N, 31], labels and a readout."""
    generator = torch.Generator().manual_seed(2)
    features = torch.rand(count, 31, dtype=torch.float64, generator=generator)
    return features, torch.arange(count) % K, torch.randn(K, 31, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("kind", ["csnn", "mlp"])
def test_logits_are_a_linear_map_of_the_features(kind: str) -> None:
    network, spikes = network_of(kind=kind, dropout=0.5), draw_spikes()
    features = read_features(network, spikes)
    assert features.any()
    torch.testing.assert_close(
        features @ find_readout(network).T, network(spikes)[0].mean(0).detach(), rtol=1e-12, atol=1e-12
    )


def test_readout_is_set_and_read_back() -> None:
    network, readout = network_of(), torch.randn(K, network_of().linear.in_features + 1, dtype=torch.float64)
    replace_readout(network, readout)
    assert torch.equal(find_readout(network), readout)


def test_gradient_is_zero_at_the_fit() -> None:
    features, labels, readout = draw_samples()
    means = features.roll(3, 0)[:K]
    fit = fit_readout(features[labels > 0], labels[labels > 0], readout, classes=means, temperature=1.5)
    assert math.isfinite(fit.penalty)
    shown, change = features[labels > 0], (fit.readout - readout).requires_grad_()
    loss = nn.functional.cross_entropy(shown @ (readout + change).T / 1.5, labels[labels > 0], reduction="sum")
    kept = len(shown) / 2 * (change @ means[0]).square().sum()
    shrunk = fit.penalty / 2 * shown.square().sum(1).mean() * change.square().sum()
    parts = [torch.autograd.grad(part, change)[0] for part in (4 * 1.5**2 * loss, kept, shrunk)]
    assert float(torch.stack(parts).sum(0).abs().max()) < 0.02 * float(parts[0].abs().max())


def test_left_out_predictions_approximate_refits(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, readout = draw_samples()
    fit = fit_readout(features, labels, readout)
    monkeypatch.setattr(module, "PENALTIES", (fit.penalty * len(features) / (len(features) - 1),))
    given, found = features @ readout.T, []
    for number in range(len(features)):
        others = torch.arange(len(features)) != number
        found.append(features[number] @ fit_readout(features[others], labels[others], readout).readout.T)
    error, change = torch.stack(found) - fit.left_out, fit.left_out - given
    assert float(error.square().mean().sqrt()) < 0.3 * float(change.square().mean().sqrt())


def test_samples_of_a_recording_are_left_out_together_and_count_once() -> None:
    features, labels, readout = draw_samples()
    once = fit_readout(features, labels, readout)
    several = torch.cat([features, features[:3], features[:1]])
    recordings = torch.cat([torch.arange(12), torch.arange(3), torch.arange(1)])
    again = fit_readout(several, labels[recordings], readout, recordings=recordings)
    assert again.penalty == once.penalty
    torch.testing.assert_close(again.readout, once.readout)
    torch.testing.assert_close(again.left_out, once.left_out[recordings])


def test_readout_is_kept_if_the_left_out_loss_does_not_improve() -> None:
    features, labels, _ = draw_samples()
    certain = torch.linalg.lstsq(features, 60.0 * nn.functional.one_hot(labels, K).double()).solution.T
    fit = fit_readout(features, labels, certain)
    assert fit.penalty == math.inf
    assert torch.equal(fit.readout, certain)


def test_unsuitable_features_labels_and_readouts_are_rejected() -> None:
    features, labels, readout = draw_samples()
    with raises(DataError):
        fit_readout(features[:0], labels[:0], readout)
    with raises(DataError, 0, 4, 3):
        fit_readout(features, labels + (labels == 3), readout)
    with raises(ConfigError, "network.readout = count", "leaky"):
        read_features(network_of(readout="count"), draw_spikes())


# The user swaps the labels right and left

SETTINGS: SettingsTree = {
    "bins": {"steps": 5, "step_us": 20_000},
    "network": {"channels": [6], "kernel": 3, "tau_mem_s": 0.04},
}
SWAPPED = {"right": 1, "left": 0, "down": 2}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a network that classifies bars by direction."""
    root = tmp_path_factory.mktemp("bars")
    over: SettingsTree = {
        "jobs": 1,
        "data": {"root": str(write_bars(root / "data"))},
        "optimiser": {"epochs": 6, "batch": 8, "learning_rate": 0.02},
    }
    return train(build(TrainConfig, merge_settings(SETTINGS, over), "test"), root / "run").checkpoint


@pytest.fixture(scope="module")
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint)


def shown(names: tuple[str, ...], count: int, first: int = 100, windows: int = 1) -> tuple[list[Events], list[str]]:
    """Recordings of the user, and their labels."""
    pairs = [(moving_bar(SWAPPED[name], first + n, windows), name) for n in range(count) for name in names]
    return [events for events, _ in pairs], [name for _, name in pairs]


def accuracy(classifier: Classifier, names: tuple[str, ...]) -> float:
    recordings, truth = shown(names, 8, first=300)
    return sum(classifier.predict(each).class_name == name for each, name in zip(recordings, truth, strict=True)) / len(
        truth
    )


def settings_for(folder: Path, checkpoint: Path | None, **over: Any) -> TrainConfig:
    given = {"data": {"root": str(folder)}, "jobs": 1, "optimiser": {"rule": "readout"}, "init": None}
    if checkpoint is not None:
        given["init"] = str(checkpoint)
    return build(TrainConfig, merge_settings(merge_settings(SETTINGS, given), over), "test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with six recordings of the user per class."""
    for events, name in zip(*shown(BAR_CLASSES, 6), strict=True):
        write(tmp_path / "user" / name / f"{len(list((tmp_path / 'user').rglob('*.raw')))}.raw", events)
    return tmp_path / "user"


def test_few_recordings_adapt_a_classifier_to_a_user(classifier: Classifier) -> None:
    before = {name: tensor.clone() for name, tensor in classifier.network.state_dict().items()}
    adaptation = adapt_readout(classifier, *shown(BAR_CLASSES, 5))
    assert (adaptation.windows, math.isfinite(adaptation.penalty)) == (15, True)
    assert adaptation.correct_left_out > adaptation.correct_before
    assert accuracy(adaptation.classifier, BAR_CLASSES) > accuracy(classifier, BAR_CLASSES) + 0.3
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.network.state_dict().items())
    for name, tensor in adaptation.classifier.network.state_dict().items():
        assert torch.equal(tensor, before[name]) != name.startswith("linear.")
    assert mentions(adaptation.classifier.config.trained_on, "15 windows", "15 recordings")


def test_classes_without_recordings_are_kept(classifier: Classifier) -> None:
    adapted = adapt_readout(classifier, *shown(("right", "left"), 5)).classifier
    assert accuracy(adapted, ("right", "left")) > accuracy(classifier, ("right", "left")) + 0.3
    assert accuracy(adapted, ("down",)) >= accuracy(classifier, ("down",)) - 0.25


def test_correctly_classified_recordings_change_little(classifier: Classifier) -> None:
    recordings = [moving_bar(label, 100 + label) for label in range(3)]
    adaptation = adapt_readout(classifier, recordings, list(BAR_CLASSES))
    assert adaptation.correct_before == 3
    others = [moving_bar(label, 400 + n) for n in range(4) for label in range(3)]
    assert [adaptation.classifier.predict(each).label for each in others] == [
        classifier.predict(each).label for each in others
    ]


def test_adaptation_uses_long_recordings_and_saves_a_checkpoint(classifier: Classifier, tmp_path: Path) -> None:
    recordings, labels = shown(BAR_CLASSES, 2, windows=3)
    for number, events in enumerate(recordings):
        write(tmp_path / f"{number}.raw", events)
    paths = [tmp_path / f"{number}.raw" for number in range(6)]
    numbers = [classifier.config.classes.index(name) for name in labels]
    calls: list[tuple[float, float]] = []
    by_files = adapt_readout(classifier, paths, numbers, progress=lambda *now: calls.append(now))
    by_events = adapt_readout(classifier, recordings, labels)
    assert by_files.windows == by_events.windows == 18
    assert by_files.classifier.digest == by_events.classifier.digest
    assert calls == [(number, 6) for number in range(7)]
    by_files.save(tmp_path / "mine.safetensors")
    by_files.save(str(tmp_path / "named.safetensors"))
    assert read_checkpoint(tmp_path / "named.safetensors").config == by_files.classifier.config
    loaded = read_checkpoint(tmp_path / "mine.safetensors")
    assert loaded.moments is not None
    assert Classifier(loaded.config, loaded.network).digest == by_files.classifier.digest


def test_mismatched_recordings_and_labels_are_rejected(classifier: Classifier) -> None:
    bar = moving_bar(0, 0)
    for recordings, labels, message in (
        ([], [], ()),
        ([bar], ["right", "left"], ("labels", 2, 1)),
        ([bar], ["up"], ("'up'", "down, left, right", "0 to 2")),
        ([bar], [3], 3),
        ([bar], [None], None),
        ([Events.empty(bar.sensor)], ["right"], ()),
    ):
        with raises(DataError, message):
            adapt_readout(classifier, recordings, labels)
    with raises(ArgumentError, "labels", "'right'"):
        adapt_readout(classifier, [bar], "right")
    with raises(ArgumentError, "recordings", "wave.raw"):
        adapt_readout(classifier, "wave.raw", ["right"])
    counting = classifier.config.model_copy(update={"network": CsnnConfig(channels=(4,), readout="count")})
    with raises(ConfigError, "network.readout = count"):
        adapt_readout(Classifier(counting, counting.build_network()), [bar], ["right"])


def test_training_fits_only_the_readout(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    run = train(settings_for(folder, checkpoint), tmp_path / "run")
    assert run.test.correct_before is not None
    assert run.test.correct >= run.test.correct_before + 1
    assert len(run.epochs) == 1
    assert run.test.findings == ()
    assert run.test.notes
    given, fitted = read_checkpoint(checkpoint), read_checkpoint(run.checkpoint)
    assert fitted.config.temperature == given.config.temperature
    assert fitted.config.trained_on.startswith(f"{given.config.trained_on}; then ")
    assert fitted.moments is not None
    assert given.moments is not None
    assert all(map(torch.equal, fitted.moments.norms, given.moments.norms))
    before = given.network.state_dict()
    for name, tensor in fitted.network.state_dict().items():
        assert torch.equal(tensor, before[name]) != name.startswith("linear.")
    again = train(settings_for(folder, checkpoint), tmp_path / "run", resume=True)
    assert again.test.confusion == run.test.confusion


def test_training_keeps_classes_without_recordings(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    for path in (folder / "down").iterdir():
        path.unlink()
    (folder / "down").rmdir()
    run = train(settings_for(folder, checkpoint, data={"test": 0.34}), tmp_path / "run")
    assert read_checkpoint(run.checkpoint).config.classes == ("down", "left", "right")
    assert run.test.samples == 4
    (folder / "left").rename(folder / "up")
    other = train(settings_for(folder, checkpoint, data={"test": 0.34}), tmp_path / "other")
    assert read_checkpoint(other.checkpoint).config.classes == ("right", "up")  # a new last layer
    assert (run.test.readout_fitted, run.test.correct_before is not None) == (True, True)
    assert (other.test.readout_fitted, other.test.correct_before) == (True, None)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"init": None}, "optimiser.rule = readout"),
        ({"network": {"readout": "count"}}, ("network.readout = count", "leaky", "linear")),
        ({"optimiser": {"rule": "magic"}}, ("optimiser.rule = 'magic'", "bptt")),
    ],
)
def test_unsuitable_configurations_are_rejected(over: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        settings_for(Path("user"), Path("best.safetensors"), **over)


def test_command_line_prints_the_accuracy_before_fitting(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    arguments = [folder, f"init={checkpoint}", "optimiser.rule=readout", "-o", "run"]
    output = dvspipe("train", *arguments, cwd=tmp_path).stdout
    assert f"# as in {checkpoint}" in output.replace("as in\n# ", "as in ")  # a long path has a line of its own
    assert not re.search("views|augment|epochs:", output)
    test = TestResult.read(RunFolder(tmp_path / "run").test)
    assert mentions(output, f"{test.correct_before} of {test.samples}")
    assert (tmp_path / "run" / "report.html").is_file()
