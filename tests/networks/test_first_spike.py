"""First spikes in closed form: equations of the papers, numerical integration, gradients, and training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facts import raises
from recorder import Recorder
from torch import Tensor

from dvspipe import DvspipeError, Events, SensorSize, train
from dvspipe.base.errors import ConfigError
from dvspipe.checkpoints.checkpoint import load_checkpoint
from dvspipe.formats import write
from dvspipe.inference import Classifier, InferConfig
from dvspipe.networks import (
    FirstSpikeLayer,
    FirstSpikeNetwork,
    NetworkConfig,
    count_activity,
    first_spike_times,
    watch_rates,
)
from dvspipe.networks.spike_times import LEAKS, lambert_w
from dvspipe.training import TrainConfig
from dvspipe.training.config import check_settings

F64 = torch.float64
SENSOR = SensorSize(width=12, height=7)
NETWORK: dict[str, Any] = {
    "network": "first_spike",
    "channels": (9,),
    "leak": False,
    "tau_syn_s": 0.008,
    "tau_readout_s": 0.002,
}


def drawn(seed: int = 0, B: int = 4, N: int = 8, M: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    times = 3 * torch.rand(B, N, generator=generator, dtype=F64)
    return times, 1.6 * torch.rand(M, N, generator=generator, dtype=F64) - 0.4


def finite(times: Tensor) -> Tensor:
    return torch.where(times.isfinite(), times, 0)


def integrated(times: Tensor, weights: Tensor, leak: float, steps: int) -> float:
    """First spike of one neuron by small steps with exact decay of current and potential."""
    dt, i, v = 8 / steps, 0.0, 0.0
    arrivals = np.zeros(steps)
    np.add.at(arrivals, np.rint(times.numpy() / dt).astype(int), weights.numpy())
    response = (
        1 - math.exp(-dt) if leak == 0 else math.exp(-dt) * dt if leak == 1 else 2 * (math.exp(-dt / 2) - math.exp(-dt))
    )
    for step in range(steps):
        i += arrivals[step]
        before, v = v, v * math.exp(-leak * dt) + i * response
        i *= math.exp(-dt)
        if v >= 1:
            return dt * (step + (1 - before) / (v - before))
    return math.inf


def test_example_of_mostafa_is_reproduced() -> None:
    times, weights = torch.tensor([[0.0, 0.3, 0.5]], dtype=F64), torch.tensor([[0.7, 0.9, 0.4]], dtype=F64)
    weights.requires_grad_()
    z, z_out = times.exp(), 2.5743614350984543
    spiked = first_spike_times(times, weights, leak=0.0)
    assert float(spiked.detach()) == pytest.approx(math.log(z_out), abs=1e-14)
    (gradient,) = torch.autograd.grad(spiked.exp().sum(), weights)
    torch.testing.assert_close(gradient, (z - z_out) / (weights.detach().sum() - 1), rtol=0, atol=1e-12)


def test_examples_of_goeltz_are_reproduced() -> None:
    times, weights = torch.tensor([[0.2, 0.4, 0.9]], dtype=F64), torch.tensor([[1.2, 1.5, 0.8]], dtype=F64)
    times.requires_grad_()
    weights.requires_grad_()
    spiked = first_spike_times(times, weights, leak=1.0)
    to_weights, to_times = torch.autograd.grad(spiked.sum(), (weights, times))
    assert float(spiked.detach()) == pytest.approx(1.0021440365373406, abs=1e-14)
    assert to_weights[0].tolist() == pytest.approx([-0.33245516, -0.30481758, -0.08525108], abs=1e-8)
    assert to_times[0].tolist() == pytest.approx([0.09840363, 0.30210419, 0.59949218], abs=1e-8)
    half = first_spike_times(times, weights, leak=0.5)
    assert float(half.detach()) == pytest.approx(0.8839634509582958, abs=1e-14)
    assert torch.autograd.grad(half.sum(), times)[0][0, 2] == 0  # not in the causal set


@pytest.mark.parametrize("leak", LEAKS)
def test_gradients_equal_finite_differences(leak: float) -> None:
    times, weights = (tensor.requires_grad_() for tensor in drawn())
    found = first_spike_times(times, weights, leak=leak)
    assert found.isfinite().double().mean() > 0.3
    assert torch.autograd.gradcheck(
        lambda times, weights: finite(first_spike_times(times, weights, leak=leak)), (times, weights), atol=1e-7
    )
    assert torch.autograd.gradcheck(
        lambda weights: first_spike_times(times.detach(), weights, leak=leak, horizon=5.0), (weights,), atol=1e-7
    )


@pytest.mark.parametrize("leak", LEAKS)
def test_times_equal_numerical_integration(leak: float) -> None:
    times, weights = drawn(1, B=2, N=6, M=2)
    found = first_spike_times(times, weights, leak=leak)
    expected = [[integrated(row, w, leak, 20_000) for w in weights] for row in times]
    assert found.flatten().tolist() == pytest.approx(np.ravel(expected).tolist(), abs=2e-3)


@pytest.mark.parametrize("leak", LEAKS)
def test_shift_of_all_inputs_shifts_all_spikes(leak: float) -> None:
    times, weights = drawn(2)
    times.requires_grad_()
    found = first_spike_times(times, weights, leak=leak)
    later = first_spike_times(times.detach() + 1000, weights, leak=leak) - 1000
    torch.testing.assert_close(later, found.detach(), rtol=0, atol=1e-9)
    (gradient,) = torch.autograd.grad(finite(found).sum(), times)
    spikes = found.isfinite().double().sum(1)
    torch.testing.assert_close(gradient.sum(1), spikes, rtol=0, atol=1e-9)


def test_input_order_and_missing_inputs_do_not_matter() -> None:
    times, weights = drawn(3)
    missing = torch.cat([times, torch.full((4, 2), math.inf, dtype=F64)], dim=1)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    more = torch.cat([weights, torch.ones(5, 2, dtype=F64)], dim=1)
    assert torch.equal(first_spike_times(missing[:, order], more[:, order]), first_spike_times(times, weights))
    nothing = torch.full((1, 8), math.inf, dtype=F64)
    assert first_spike_times(nothing, weights).isinf().all()


def test_silent_neuron_with_lower_potential_is_later() -> None:
    times = torch.zeros(1, 1, dtype=F64)
    weights = torch.tensor([[-1.0], [0.5], [0.9], [2.0]], dtype=F64)
    found = first_spike_times(times, weights, leak=0.0, horizon=10.0)[0]
    assert found.tolist() == pytest.approx([11, 10.5, 10.1, math.log(2)])


def test_slope_in_gradients_can_be_limited() -> None:
    times, weights = torch.zeros(1, 1, dtype=F64), torch.tensor([[1.0001]], dtype=F64, requires_grad=True)
    exact, limited = (
        torch.autograd.grad(first_spike_times(times, weights, leak=0.0, least_slope=slope).sum(), weights)[0]
        for slope in (0.0, 0.1)
    )
    assert exact < -9000
    assert float(limited) == pytest.approx(-10, rel=1e-3)


def test_lambert_w_inverts_its_definition() -> None:
    for w in (-1.0, -0.999, -0.7, -0.3, -0.01, -1e-9):
        assert lambert_w(max(w * math.exp(w), -1 / math.e)) == pytest.approx(w, abs=1e-7 if w < -0.99 else 1e-14)


def test_unknown_leak_is_rejected() -> None:
    with raises(DvspipeError, "leak = 0.3"):
        first_spike_times(*drawn(), leak=0.3)


def test_dropout_keeps_the_mean_input() -> None:
    layer = FirstSpikeLayer(8, 3, dropout=0.5)
    times = torch.rand(1, 8)
    assert not torch.equal(layer(times), layer.eval()(times))
    assert torch.equal(layer(times), layer(times))


def network(**settings: Any) -> FirstSpikeNetwork:
    torch.manual_seed(0)
    return FirstSpikeNetwork(
        NetworkConfig.model_validate({**NETWORK, **settings}), grid=SENSOR, classes=3, dt=1e-3
    ).eval()


def spikes(T: int = 12, B: int = 3) -> Tensor:
    return (torch.rand(T, B, 2, 7, 12, generator=torch.Generator().manual_seed(5)) < 0.1).to(torch.uint8)


def test_network_uses_only_first_spikes() -> None:
    net, recordings = network(), spikes()
    outputs, state = net(recordings)
    assert outputs.shape == (12, 3, 3)
    assert not len(state)
    assert torch.equal(outputs[0], outputs[-1])
    later = recordings | (recordings.cumsum(0) > 0).to(torch.uint8)
    assert torch.equal(net(later)[0], outputs)
    times = net.first_times(recordings).unflatten(1, (2, 7, 12))
    spiked = recordings.bool().any(0)
    assert torch.equal(times.isfinite(), spiked)
    torch.testing.assert_close(times[spiked], recordings.argmax(0)[spiked] / 8)  # tau_syn is 8 steps
    with raises(ConfigError, "first_spike"):
        net(recordings, state)


def test_activity_counts_each_first_spike() -> None:
    net, recordings = network(), spikes()
    with count_activity(net) as layers, watch_rates(net) as rates:
        net(recordings)
    hidden, readout = layers
    first = int(recordings.any(0).sum())
    assert (hidden.arrived, hidden.connections, hidden.steps) == (first, 9 * 168, 36)
    assert hidden.rate == pytest.approx(readout.arrived / 9 / 36)
    assert rates["lif1"] == pytest.approx(hidden.rate)
    assert readout.rate is None


def test_penalty_applies_to_neurons_with_small_weight_sums() -> None:
    net = network(keep_alive=2.0)
    with torch.no_grad():
        net.readout.weight[0] = 0
        net.readout.weight[1:] = 1
    *_, (weight, gradient) = net.penalty_gradients()
    assert weight is net.readout.weight
    assert gradient[:, 0].tolist() == [-2, 0, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tau_syn_s": None}, ("tau_syn_s = null", "tau_mem_s = 0.03")),
        ({"leak": True, "tau_mem_s": 0.1}, ("tau_mem_s = 0.1", "tau_syn_s = 0.008")),
        ({"slope": 2.0}, ("slope", "first_spike")),
        (
            {"norm": "weight", "thresholds": (5.0,)},
            ("norm", "thresholds", "network = stdp"),
        ),
    ],
)
def test_settings_without_a_closed_form_are_rejected(settings: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        network(**settings)


@pytest.mark.parametrize("tau_mem_s", [0.008, 0.016])
def test_membranes_leak_by_default(tau_mem_s: float) -> None:
    net = network(leak=True, tau_mem_s=tau_mem_s)
    assert net.readout.leak == 0.008 / tau_mem_s
    assert net(spikes())[0].isfinite().all()


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"truncate": 5}, ("network = first_spike", "truncate=null")),
        ({"segment": 5}, ("network = first_spike", "segment=null")),
        ({"rule": "ottt"}, ("network = first_spike", "rule=bptt")),
        ({"loss": "count"}, ("network = first_spike", "loss=mean")),
    ],
)
def test_impossible_training_settings_are_rejected(over: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        check_settings(TrainConfig(**NETWORK, **over))


def config_for(folder: Path, network: Mapping[str, Any], **optimiser: Any) -> TrainConfig:
    """Training on events that start at the left or at the right."""
    rng = np.random.default_rng(0)
    for number in range(24):
        t = np.sort(rng.integers(0, 12_000, 160))
        x = np.minimum(11, t // 1000 if number % 2 else 11 - t // 1000)
        place = folder / ("left" if number % 2 else "right") / f"{number}.h5"
        write(place, Events(t, x, rng.integers(0, 7, 160), rng.random(160) < 0.5, SENSOR))
    return TrainConfig(
        root=folder,
        cache="none",
        validation=0.3,
        steps=12,
        step_us=1000,
        **{**NETWORK, **network},
        shift_px=0,
        batch=4,
        learning_rate=0.01,
        weight_decay=0,
        **optimiser,
    )


def test_training_on_recordings_classifies_them(tmp_path: Path) -> None:
    run = train(config_for(tmp_path / "data", {"keep_alive": 0.1}, epochs=8), out=tmp_path / "run")
    assert run.test.accuracy == 1
    assert [layer.name for layer in run.activity.layers] == ["lif1", "readout"]
    classifier = Classifier.load(run.checkpoint)
    last = tmp_path / "data" / "left" / "1.h5"
    assert classifier.predict(last).class_name == "left"
    with raises(ConfigError, "stateful", "network = first_spike"):
        classifier.predict(last, InferConfig(stateful=True))
    assert isinstance(load_checkpoint(run.checkpoint)[1], FirstSpikeNetwork)


def test_steps_are_never_segmented_even_with_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvspipe.training.trainer.memory_bytes", lambda _: 1)
    run = train(config_for(tmp_path / "data", {}, epochs=1), out=tmp_path / "run")
    assert len(run.epochs) == 1


def test_warning_for_a_silent_layer_suggests_valid_settings(tmp_path: Path) -> None:
    texts: list[str] = []

    config = config_for(tmp_path / "data", {"gain": 1e-3}, epochs=1)
    run = train(config, out=tmp_path / "run", callback=Recorder(texts))
    (warned,) = [text for text in texts if "silent" in text]
    assert "tau_mem_s" not in warned
    assert "silent" in {finding.kind for finding in run.test.findings}


def test_non_finite_input_gives_nan() -> None:
    times, weights = torch.tensor([[0.1, 0.2], [0.1, math.nan]]), torch.tensor([[2.0, 3.0], [math.nan, 3.0]])
    assert first_spike_times(times, weights).isnan().tolist() == [[False, True], [True, True]]
    with raises(DvspipeError, "weights", "[2, 3]", "N = 2"):
        first_spike_times(times, torch.ones(2, 3))
