"""Evaluation takes its part from the split of the run, and matches classes by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BAR_SENSOR, SENSOR, moving_bar, random_events, write_bars
from facts import mentions, raises, warnings_of
from small_training import config_for
from torch import Tensor, nn
from untrained import untrained_config

from dvspipe import Classifier, TrainConfig, evaluate, train
from dvspipe.base.errors import ConfigError, DataError
from dvspipe.checkpoints.checkpoint import energies
from dvspipe.datasets import DataConfig, from_recordings, open_dataset
from dvspipe.formats import write
from dvspipe.results import EvaluatedPart, TrainingRun
from dvspipe.training.calibration import find_least_energy, fit_temperature
from dvspipe.training.evaluation import Evaluation, expected_calibration_error, score


@pytest.fixture(scope="module")
def run(train_bars: Callable[..., TrainingRun]) -> TrainingRun:
    return train_bars()


@pytest.fixture
def alone(run: TrainingRun, tmp_path: Path) -> Path:
    """Copy the checkpoint of the run, without the files of the run."""
    return Path(shutil.copy(run.checkpoint, tmp_path / "w.safetensors"))


def test_run_is_evaluated_on_its_parts(run: TrainingRun, bars: Path, caplog: pytest.LogCaptureFixture) -> None:
    """For any seed of the data set."""

    def samples(part: EvaluatedPart, seed: int = 0) -> list[str]:
        result = evaluate(run.folder.path, DataConfig(root=bars, seed=seed), part=part)
        return [prediction.name for prediction in result.predictions]

    assert samples("validation", 0) == samples("validation", 1)
    parts: tuple[EvaluatedPart, ...] = ("train", "validation", "test", "all")
    assert [len(samples(part)) for part in parts] == [54, 6, 24, 84]
    assert warnings_of(caplog) == []

    tested = evaluate(run.checkpoint, config_for(bars))
    assert tested.confusion == run.test.confusion
    assert tested.calibration_error == pytest.approx(run.test.calibration_error, abs=1e-6)
    with raises(ConfigError, "tset", *parts):
        evaluate(run.checkpoint, bars, part="tset")  # type: ignore[arg-type]


def test_recordings_of_another_sensor_are_refused(run: TrainingRun, alone: Path) -> None:
    data = from_recordings([(random_events(number, 500), name) for name in run.test.classes for number in range(3)])
    with raises(DataError, "sensor", f"found {SENSOR}", f"expected {BAR_SENSOR}"):
        evaluate(alone, data)


def test_part_that_may_contain_trained_recordings_gives_a_warning(
    bars: Path, alone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, run: TrainingRun
) -> None:
    """The test part of the folder is its own; any other part may be of the unknown run."""
    for part in ("test", "all"):
        evaluate(alone, bars, part=part)
    assert warnings_of(caplog) == []

    other = write_bars(tmp_path / "other", 5, run.test.classes, first=500)
    assert evaluate(alone, other).samples == 15
    evaluate(alone, bars, part="validation")
    assert [text.partition(":")[0] for text in warnings_of(caplog)] == ["folder other", f"folder {bars.name}"]


def test_settings_of_the_classifier_are_not_settings_of_its_evaluation(run: TrainingRun, bars: Path) -> None:
    with raises(ConfigError, "epochs, steps", "classifier"):
        evaluate(run.folder.path, bars, TrainConfig(steps=3, epochs=2, seed=1))
    assert evaluate(run.folder.path, bars, TrainConfig(batch=2, jobs=1)).confusion == run.test.confusion


def test_incomplete_split_is_an_error(run: TrainingRun, bars: Path, tmp_path: Path) -> None:
    lacking = tmp_path / "run" / "weights" / "best.safetensors"
    lacking.parent.mkdir(parents=True)
    shutil.copy(run.checkpoint, lacking)
    shutil.copy(run.folder.config, tmp_path / "run")
    named = json.loads(run.folder.split.read_text())
    (tmp_path / "run" / "split.json").write_text(json.dumps(named | {"test": named["test"][1:]}))
    with raises(DataError, "split.json", "83", "84", named["test"][0]):
        evaluate(lacking, bars)


def test_few_recordings_outside_the_run_are_all_evaluated(
    run: TrainingRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One recording per class cannot be split into three parts, and none belongs to the run."""
    for name in run.test.classes:
        write(tmp_path / "other" / name / "new.raw", moving_bar(0, 900))
    record = evaluate(run.checkpoint, tmp_path / "other")
    assert mentions(record.data, 3, "all")
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("classes", [("down", "right", "left"), ("down", "left")])
def test_classes_are_matched_by_name(run: TrainingRun, bars: Path, classes: tuple[str, ...]) -> None:
    """In another order, or only some of them."""
    data = open_dataset(config_for(bars))
    files = [(sample.file, data.classes[sample.label]) for sample in data.test]
    recordings = [(file, name) for file, name in files if file and name in classes]
    record = evaluate(run.checkpoint, from_recordings(recordings, classes=classes), part="all")

    assert record.classes == run.test.classes
    for name, counts, expected in zip(record.classes, record.confusion, run.test.confusion, strict=True):
        assert counts == (expected if name in classes else (0, 0, 0))


def test_unknown_classes_are_an_error(run: TrainingRun, tmp_path: Path) -> None:
    write_bars(tmp_path, 4, ("x", "y"))
    with raises(DataError, "x", "y", "right", "left", "down"):
        evaluate(run.checkpoint, tmp_path)


class Readout(nn.Module):
    """Linear layer on each step."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * 12 * 16, 3)

    def forward(self, spikes: Tensor) -> Tensor:
        """Return [T, B, K] for [T, B, C, H, W]."""
        return self.linear(spikes.flatten(2))


def test_own_network_is_trained_on_a_data_set_in_memory_and_evaluated(tmp_path: Path) -> None:
    data = from_recordings([(moving_bar(label, number), label) for label in range(3) for number in range(5)])
    network = Readout()
    run = train(data, TrainConfig(steps=5, step_us=20_000, epochs=2, jobs=1), tmp_path, network=network)
    assert run.test.samples == 3  # drawn from the training part, as the validation part

    loaded = Readout()
    result = evaluate(Classifier.load(run.folder.path, network=loaded), data)
    assert result.samples == 15
    assert torch.equal(loaded.linear.weight, network.linear.weight)


def test_temperature_is_at_the_minimum_and_few_recordings_keep_it_near_one() -> None:
    """At the minimum, T changes neither the mean logit of the true class nor the expected logit, but for the prior."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (6, 3)).astype(np.float32)
    labels = rng.integers(0, 3, 6)
    temperature = fit_temperature(logits, labels)

    scaled = torch.from_numpy(logits).double() / temperature
    expected = (scaled.softmax(1) * scaled).sum(1)
    slope = float((scaled[torch.arange(6), torch.from_numpy(labels)] - expected).sum())
    assert slope + np.log(temperature) / 0.5**2 == pytest.approx(0, abs=1e-3)
    assert 0.6 < fit_temperature(20 * np.eye(3, dtype=np.float32), np.arange(3)) < 1.6


def test_wrong_predictions_begin_with_the_most_certain() -> None:
    config = untrained_config({})
    logits = np.zeros((3, len(config.classes)), np.float32)
    logits[:, 0] = 1, 3, 2
    evaluation = Evaluation(0.0, np.array([1, 1, 0]), logits.argmax(axis=1), logits)
    data = from_recordings([(random_events(number, 5), "a") for number in range(3)])
    first, second = score(evaluation, list(data.samples), config).wrong
    assert first.probability > second.probability


def test_calibration_error_is_the_mean_distance_of_confidence_and_accuracy() -> None:
    assert expected_calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1])) == pytest.approx(0.3)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 4000)
    labels = (probabilities.cumsum(1) > np.random.default_rng(1).random((4000, 1))).argmax(1)
    assert expected_calibration_error(probabilities, labels) < 0.03


def test_energy_limit_is_two_percent_quantile_and_none_for_few_recordings() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (500, 4)).astype(np.float32)
    least = find_least_energy(logits)
    assert least is not None
    assert (energies(logits) < least).mean() == pytest.approx(0.02, abs=0.002)
    assert find_least_energy(logits[:49]) is None
