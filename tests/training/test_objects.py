"""`train` and `evaluate` take data sets, networks and classifiers as objects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import BAR_CLASSES, moving_bar
from torch import Tensor, nn

from dvspipe import Classifier, TrainConfig, evaluate, train
from dvspipe.datasets import DataSet, from_recordings
from dvspipe.formats import write

CONFIG = TrainConfig(steps=5, step_us=20_000, channels=(4,), epochs=2, jobs=1)


class Readout(nn.Module):
    """Linear layer on each step."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(pixels, len(BAR_CLASSES))

    def forward(self, spikes: Tensor) -> Tensor:
        """Return [T, B, K] for [T, B, C, H, W]."""
        return self.linear(spikes.flatten(2))


@pytest.fixture(scope="module")
def data() -> DataSet:
    return from_recordings(
        [(moving_bar(label, number), label) for label in range(len(BAR_CLASSES)) for number in range(5)]
    )


def test_data_set_in_memory_is_trained_and_evaluated(data: DataSet, tmp_path: Path) -> None:
    run = train(data, CONFIG, tmp_path / "run")
    assert run.test.samples == 3  # drawn from the training part, as the validation part
    by_path = evaluate(run.folder.path, data, part="all")
    assert by_path.samples == 15
    by_object = evaluate(Classifier.load(run.checkpoint), data)
    assert by_object.confusion == by_path.confusion


def test_network_given_to_train_is_evaluated(data: DataSet, tmp_path: Path) -> None:
    sensor = data.sensor
    config = TrainConfig(steps=5, step_us=20_000, network="module", call="sequence", epochs=2, jobs=1)
    network = Readout(2 * sensor.width * sensor.height)
    run = train(data, config, tmp_path / "run", network=network)
    by_path = evaluate(run.folder.path, data, network=Readout(2 * sensor.width * sensor.height))
    assert evaluate(network, data, config=config).confusion == by_path.confusion


def test_evaluation_file_has_the_probabilities_of_each_recording(data: DataSet, tmp_path: Path) -> None:
    run = train(data, CONFIG, tmp_path / "run")
    for label, name in enumerate(data.classes):
        for number in range(3):
            write(tmp_path / "in" / name / f"{number}.raw", moving_bar(label, number))
    evaluate(run.folder.path, tmp_path / "in", out=tmp_path / "out.json", part="all")
    stored = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [Path(row["name"]).parent.name for row in stored["predictions"]] == [
        n for n in data.classes for _ in range(3)
    ]
    for row in stored["predictions"]:
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)  # float32
        best = max(range(3), key=row["probabilities"].__getitem__)
        assert stored["classes"][best] == row["predicted"]
