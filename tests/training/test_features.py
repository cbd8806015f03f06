"""Unsupervised STDP training of a network, and the fit of its readout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facts import raises
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from small_training import Killed, config_for, same_weights

from dvspipe import train
from dvspipe.base.errors import ConfigError
from dvspipe.checkpoints.checkpoint import load_checkpoint
from dvspipe.inference import Classifier, InferConfig
from dvspipe.results import TrainingRun
from dvspipe.training.logistic import READOUT_C, fit_readout

STDP: dict[str, Any] = {
    "steps": 10,
    "step_us": 10000,
    "form": "binary",
    "network": "stdp",
    "channels": (6, 8),
    "kernel": 3,
    "thresholds": (3, 3),
    "shift_px": 0,
    "epochs": 3,
    "passes": 1,
    "winners": (3, 3),
    "radius": (1, 1),
    "doubled_after": 5,
}


@pytest.fixture(scope="module")
def run(train_bars: Callable[..., TrainingRun]) -> TrainingRun:
    return train_bars(**STDP)


def test_layers_are_trained_in_order(run: TrainingRun) -> None:
    first, second, third = (row.convergence for row in run.epochs)
    assert first["lif1"] < 0.15  # 0.16 before
    assert first["lif1"] == second["lif1"] == third["lif1"]
    assert len({first["lif2"], second["lif2"], third["lif2"]}) == 3
    assert run.test.accuracy >= 0.8
    assert [row.epoch for row in run.epochs] == [1, 2, 3]
    assert "convergence_lif2" in (run.folder.epochs_csv).read_text().splitlines()[0]


def test_resumed_run_ends_with_the_same_weights(run: TrainingRun, bars: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config_for(bars, **STDP), out=tmp_path / "a", progress=Killed(2))
    resumed = train(config_for(bars, **STDP), out=tmp_path / "a", resume=True)
    assert same_weights(tmp_path / "a", run.folder.path)
    assert resumed.test.confusion == run.test.confusion


def test_report_shows_the_kernels(run: TrainingRun) -> None:
    first, second = run.activity.kernels
    assert (first.name, first.channels) == ("lif1", 6)
    assert np.shape(second.kernels) == (8, 2, 2 * 2 + 3, 2 * 2 + 3)
    weights = load_checkpoint(run.folder.best)[1][0].weight  # type: ignore[index]
    np.testing.assert_allclose(first.kernels, weights.numpy(), rtol=1e-3)
    assert run.folder.kernels.is_file()


def test_checkpoint_classifies_recordings(run: TrainingRun, bars: Path) -> None:
    classifier, file = Classifier.load(run.folder.path), bars / "test" / "right" / "00.raw"
    assert classifier.predict(file).class_name in classifier.config.classes
    with raises(ConfigError, "stateful"):
        classifier.predict(file, InferConfig(stateful=True))


def test_readout_matches_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    features = (rng.normal(size=(200, 6)) * 3 + labels[:, None] * np.arange(6) + 5).astype(np.float32)
    features[:, 2] = 4.0  # constant
    linear = torch.nn.Linear(6, 4)
    loss, accuracy = fit_readout(linear, torch.from_numpy(features), torch.from_numpy(labels))

    scaled = StandardScaler().fit_transform(features)
    expected = LogisticRegression(C=READOUT_C, max_iter=1000).fit(scaled, labels)
    found = linear(torch.from_numpy(features)).softmax(1).detach().numpy()
    np.testing.assert_allclose(found, expected.predict_proba(scaled), atol=2e-3)
    assert accuracy == pytest.approx(expected.score(scaled, labels), abs=0.011)
    assert 0 < loss < np.log(4)


@pytest.mark.parametrize(
    ("over", "message"),
    [({"winners": [3]}, ("winners", "1", "2")), ({"ema": 0.9}, ("ema", "csnn", "stdp"))],
)
def test_untrainable_settings_are_refused(bars: Path, over: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        train(config_for(bars, **STDP | over))
