"""User-defined networks: training, storage, loading only from trusted packages, and unsupported functions."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import norse.torch as norse
import numpy as np
import pytest
import torch
from commands import dvspipe as run_command
from conftest import BAR_CLASSES, BAR_SENSOR, moving_bar
from facts import mentions, raises
from torch import Tensor, nn

import dvspipe.rules
from dvspipe import adapt, evaluate, export, train
from dvspipe.base.errors import CheckpointError, ConfigError
from dvspipe.checkpoints.checkpoint import ClassifierConfig, load_checkpoint, load_config, save_checkpoint
from dvspipe.encoding import BinConfig
from dvspipe.formats import write
from dvspipe.inference import Classifier, InferConfig, classify_many, plan_tasks
from dvspipe.networks import ModuleNetwork, ModuleSource, NetworkConfig, count_activity
from dvspipe.results import TrainingRun
from dvspipe.rules import backpropagate, backpropagate_segments
from dvspipe.training import TrainConfig
from dvspipe.training.config import check_settings

PACKAGE = "nets_of_a_user"
CODE = """
from os import system
from pathlib import Path

import norse.torch as norse
import torch
from torch import nn

Path(__file__).with_name("imported").touch()


def make_net(shape, classes, dt, hidden=24):
    cell = norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=torch.tensor(50.0), v_th=torch.tensor(0.3)), dt=dt)
    readout = norse.LIBoxCell(norse.LIBoxParameters(tau_mem_inv=torch.tensor(10.0)), dt=dt)
    C, H, W = shape
    first = [nn.Flatten(), nn.Linear(C * H * W, hidden), nn.BatchNorm1d(hidden), cell]
    return norse.SequentialState(*first, nn.Linear(hidden, classes), readout)


def make_dense(shape, classes):
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.LazyLinear(classes)

        def forward(self, x):
            return self.linear(x.sum(0).flatten(1))

    return Dense()


def fail():
    raise ValueError("no such size")
"""
SETTINGS: dict[str, Any] = {
    "jobs": 1,
    "steps": 5,
    "step_us": 20000,
    "network": "module",
    "target": f"{PACKAGE}.nets:make_net",
    "call": "step_state",
    "target_options": {"hidden": 32},
    "epochs": 3,
    "batch": 6,
    "learning_rate": 0.02,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a package and recordings of bars."""
    folder = tmp_path_factory.mktemp("user")
    (folder / PACKAGE).mkdir()
    (folder / PACKAGE / "nets.py").write_text(CODE)
    for part, numbers in (("train", range(10)), ("test", range(50, 54))):
        for label, name in enumerate(BAR_CLASSES):
            for number in numbers:
                write(folder / "bars" / part / name / f"{number}.h5", moving_bar(label, number))
    return folder


@pytest.fixture(autouse=True)
def _import_path(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the package importable, and remove it from `sys.modules` after the test."""
    monkeypatch.syspath_prepend(str(place))
    yield
    for name in (PACKAGE, f"{PACKAGE}.nets"):
        sys.modules.pop(name, None)


def config_for(place: Path, **network: Any) -> TrainConfig:
    return TrainConfig.model_validate(SETTINGS | {"root": str(place / "bars")} | network)


@pytest.fixture(scope="module")
def run(place: Path) -> TrainingRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        return train(config_for(place), out=place / "run", trust=PACKAGE)


def was_imported(place: Path) -> bool:
    return (place / PACKAGE / "imported").exists() or f"{PACKAGE}.nets" in sys.modules


@pytest.fixture
def unimported(run: TrainingRun) -> Path:
    """Folder with a run, without traces of earlier imports."""
    place = run.folder.path.parent
    (place / PACKAGE / "imported").unlink(missing_ok=True)
    for name in (PACKAGE, f"{PACKAGE}.nets"):
        sys.modules.pop(name, None)
    return place


def test_network_of_norse_cells_is_trained(run: TrainingRun) -> None:
    """Right and left differ only in the order of events."""
    assert run.test.accuracy >= 0.75
    assert (run.test.samples, len(run.epochs)) == (12, 3)
    assert run.activity.layers == ()
    assert any("network = module" in note for note in run.test.notes)


def test_run_of_a_module_has_a_report(run: TrainingRun) -> None:
    from dvspipe.report import write_training_page

    page = write_training_page(run).read_text()
    assert "Synaptic operations" not in page


def test_checkpoint_contains_weights_and_target_name(run: TrainingRun) -> None:
    config = load_config(run.checkpoint)
    assert (config.network.target, config.network.target_options) == (f"{PACKAGE}.nets:make_net", {"hidden": 32})
    classifier = Classifier.load(run.checkpoint, trust=[PACKAGE])
    assert isinstance(classifier.network, ModuleNetwork)
    assert isinstance(classifier.network.module, norse.SequentialState)
    assert classifier.predict(moving_bar(2, 60)).class_name == "down"


def test_windows_and_stateful_inference_use_the_same_network(run: TrainingRun) -> None:
    classifier, bar = Classifier.load(run.checkpoint, trust=PACKAGE), moving_bar(1, 61)
    by_window = classifier.predict(bar).timeline.probabilities[-1]
    kept = classifier.predict(bar, InferConfig(stateful=True))
    assert kept.layers == ()
    np.testing.assert_allclose(kept.timeline.probabilities[-1], by_window, atol=1e-5)


ENTRANCES: dict[str, Callable[[Path], object]] = {
    "load": lambda place: Classifier.load(place / "run"),
    "load another": lambda place: Classifier.load(place / "run", trust=["os", f"{PACKAGE}_too"]),
    "load_checkpoint": lambda place: load_checkpoint(place / "run"),
    "evaluate": lambda place: evaluate(place / "run", config_for(place), part="test"),
    "train": lambda place: train(config_for(place), out=place / "other"),
    "resume": lambda place: train(config_for(place), out=place / "run", resume=True),
    "init": lambda place: train(
        config_for(place).model_copy(update={"init": str(place / "run")}), out=place / "other", trust="torch"
    ),
}


@pytest.mark.parametrize("name", ENTRANCES)
def test_untrusted_code_is_not_imported(name: str, unimported: Path) -> None:
    with raises(ConfigError, f"{PACKAGE}.nets:make_net") as caught:
        ENTRANCES[name](unimported)
    assert mentions(str(caught.value), f"trust={PACKAGE}")
    assert not was_imported(unimported)
    assert not (unimported / "other").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["infer", "RUN", "BAR"],
        ["evaluate", "RUN", "BARS"],
        ["export", "RUN", "-o", "OUT.nir"],
        ["export", "RUN", "-o", "OUT.onnx"],
        ["adapt", "RUN", "BAR", "-o", "OUT.safetensors"],
        ["train", "RUN/args.yaml", "init=RUN", "-o", "OUT"],
        ["train", "RUN/args.yaml", "--resume", "-o", "RUN"],
        ["train", "RUN/args.yaml", f"target={PACKAGE}.nets:make_dense", "-o", "OUT"],
    ],
    ids=lambda arguments: " ".join(arguments[:4]),
)
def test_commands_do_not_import_untrusted_code(arguments: list[str], unimported: Path) -> None:
    names = {"RUN": "run", "BARS": "bars", "BAR": "bars/test/left/50.h5", "OUT": "out"}
    words = arguments
    for name in sorted(names, key=len, reverse=True):
        words = [word.replace(name, str(unimported / names[name])) for word in words]
    error = run_command(*words, cwd=unimported, code=2).stderr
    assert "target = " in error or "network = module" in error
    assert not was_imported(unimported)
    assert not list(unimported.glob("out*"))


def test_commands_run_trusted_code(unimported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend("nowhere")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(unimported)])
    monkeypatch.chdir(unimported)
    bar = str(unimported / "bars/test/left/50.h5")
    found = run_command("infer", "run", bar, "--trust", PACKAGE, "--json", cwd=unimported)
    assert json.loads(found.stdout.splitlines()[-1])["answer"]["label"] in range(3)
    assert was_imported(unimported)


def test_command_of_a_run_can_be_repeated(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands_seen: list[str] = []

    def note(*_: object, command: str, modules: ModuleSource, **__: object) -> TrainingRun:
        commands_seen.append(command)
        assert modules.trust == (PACKAGE,)
        raise ConfigError("the end")

    monkeypatch.setattr("dvspipe.training.run.run_training", note)
    run_command("train", place / "run" / "args.yaml", "--trust", PACKAGE, "-o", place / "new", cwd=place, code=2)
    assert f"--trust {PACKAGE} " in commands_seen[0]


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (f"{PACKAGE}.nets:system", ()),  # imported by the package, not defined in it
        (f"{PACKAGE}.nets:norse", "module"),
        (f"{PACKAGE}.nets:nothing", "nothing"),
        (f"{PACKAGE}.none:make_net", "none"),
        (f"{PACKAGE}.nets:fail", ("ValueError", "nets.py", "no such size")),
    ],
)
def test_only_names_defined_in_a_trusted_package_are_called(target: str, found: object) -> None:
    source = ModuleSource.of(PACKAGE)
    with raises(ConfigError, found) as caught:
        classifier(target=target, target_options={}).build_network(source)
    assert target in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["nets", "a.b:c.d", "a:b()", "../a:b", "a:\x1bc"])
def test_target_must_be_a_module_and_a_name(target: str) -> None:
    with raises(ConfigError, "target = "):
        TrainConfig.model_validate({"network": "module", "target": target})


def test_worker_processes_load_a_trusted_network(run: TrainingRun, place: Path) -> None:
    loaded = Classifier.load(run.checkpoint, trust=PACKAGE)
    given = Classifier.load(run.checkpoint, network=loaded.network.module)
    tasks = plan_tasks([place / "bars" / "test" / "left"])
    with raises(ConfigError, "jobs = 2"):
        next(classify_many(tasks, given, jobs=2))
    outcomes = [*classify_many(tasks, given)]
    assert [outcome.error for outcome in outcomes] == [None] * 4


class Sums(nn.Module):
    """Network without time that shares one matrix under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * 12 * 16, 3)
        self.same = self.linear
        self.register_buffer("mask", torch.tensor([-math.inf, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.sum(0).flatten(1))
        return logits


def test_network_instance_is_trained_in_place(place: Path, tmp_path: Path) -> None:
    network = Sums()
    before = network.linear.weight.detach().clone()
    config = config_for(place, target=None, call="sequence", target_options={})
    done = train(config, out=tmp_path / "run", network=network)
    assert done.checkpoint.is_file()
    assert not torch.equal(before, network.linear.weight)
    loaded = Classifier.load(done.checkpoint, network=Sums())
    assert torch.equal(loaded.network.module.linear.weight, network.linear.weight)
    with raises(ConfigError, "target"):
        Classifier.load(done.checkpoint)
    with raises(ConfigError, "weights"):
        Classifier.load(done.checkpoint, network=nn.Sequential(nn.Linear(3, 3)))
    with raises(ConfigError, "network = csnn"):
        train(TrainConfig(), out=tmp_path / "other", network=network)


def classifier(**network: Any) -> ClassifierConfig:
    settings = {"network": "module", "target": f"{PACKAGE}.nets:make_net", "call": "step_state"} | network
    return ClassifierConfig(
        classes=BAR_CLASSES,
        width=BAR_SENSOR.width,
        height=BAR_SENSOR.height,
        bins=BinConfig(steps=5, step_us=20_000),
        network=NetworkConfig.model_validate(settings),
    )


def sample(T: int = 6, B: int = 3) -> Tensor:
    return torch.rand(T, B, 2, 12, 16, generator=torch.Generator().manual_seed(0)) * 2


def test_network_equals_the_module_step_by_step() -> None:
    torch.manual_seed(0)
    network = classifier().build_network(ModuleSource.of(PACKAGE)).eval()
    spikes, state, steps = sample(), None, []
    for one in spikes:
        output, state = network.module(one, state)
        steps.append(output)
    outputs, _ = network(spikes)
    assert torch.equal(outputs, torch.stack(steps))


def test_stateful_sequence_can_be_continued() -> None:
    class Running(nn.Module):
        """Running mean of a linear layer, with the state in a dictionary."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(384, 3)

        def forward(self, x: Tensor, state: dict[str, Tensor | None] | None) -> tuple[Tensor, dict[str, Tensor | None]]:
            sums = self.linear(x.flatten(2)).cumsum(0)
            if state is not None:
                assert state["nothing"] is None
                sums = sums + state["sum"]
            return sums, {"nothing": None, "sum": sums[-1]}

    network = ModuleNetwork(Running(), "sequence_state", 3)
    whole, _ = network(sample())
    _, state = network(sample()[:2])
    torch.testing.assert_close(network(sample()[2:], state)[0], whole[2:])


def test_segmented_gradients_equal_complete_gradients() -> None:
    torch.manual_seed(0)
    cells = norse.SequentialState(nn.Flatten(), nn.Linear(384, 9), norse.LIFBoxCell(dt=0.005), nn.Linear(9, 3))
    network = ModuleNetwork(cells, "step_state", 3)

    def gradients(learn: Callable[[], object]) -> Tensor:
        network.zero_grad()
        learn()
        return torch.cat([weights.grad.flatten() for weights in network.parameters() if weights.grad is not None])

    def loss(outputs: Tensor) -> Tensor:
        return outputs.mean(0)[:, 0].square().sum()

    whole = gradients(lambda: backpropagate(network, sample(), loss))
    parts = gradients(lambda: backpropagate_segments(network, sample(), loss, steps=2))
    assert whole.abs().max() > 0
    torch.testing.assert_close(parts, whole)
    assert dvspipe.rules.measure_graph(network, sample()) > 0


def snntorch_layers() -> nn.Module:
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    hidden = snntorch.Leaky(beta=0.9, init_hidden=True, learn_beta=True)
    readout = snntorch.Leaky(beta=0.9, init_hidden=True, output=True)
    return nn.Sequential(nn.Flatten(), nn.Linear(384, 8), hidden, nn.Linear(8, 3), readout)


def test_hidden_state_is_reset_before_each_call_without_a_graph() -> None:
    module = snntorch_layers()
    network = ModuleNetwork(module, "step", 3)
    first, state = network(sample())
    again, _ = network(sample())
    assert torch.equal(first, again)
    assert state == []
    assert not module[2].mem.requires_grad
    assert not any(name.endswith("mem") for name in network.state_dict())
    network(sample(B=2))[0].sum().backward()
    assert module[2].beta.grad is not None


def test_snntorch_network_is_trained(place: Path, tmp_path: Path) -> None:
    config = config_for(place, target=None, call="step", target_options={})
    config = config.model_copy(update={"epochs": 2})
    done = train(config, out=tmp_path / "run", network=snntorch_layers())
    loaded = Classifier.load(done.checkpoint, network=snntorch_layers())
    assert loaded.predict(moving_bar(0, 0)).class_name in BAR_CLASSES
    with raises(ConfigError, "stateful", "call = step", "stateful=false"):
        loaded.predict(moving_bar(0, 0), InferConfig(stateful=True))


class MultiStepNeuron(nn.Module):
    """Keeps its membrane between calls, like SpikingJelly's neurons with `step_mode="m"`."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Any = 0.0

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        membranes = []
        for current in x:
            self.v = self.v + (current - self.v) / 2
            membranes.append(self.v)
        return torch.stack(membranes)


class MultiStepNetwork(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(2), nn.LazyLinear(8), MultiStepNeuron(), nn.Linear(8, 3))

    def reset(self) -> None:
        """Initialise weights; must not be called as a reset of the state."""
        nn.init.zeros_(self[3].weight)


def test_multi_step_neurons_are_reset_before_each_call_without_a_graph() -> None:
    module = MultiStepNetwork()
    network = ModuleNetwork(module, "sequence", 3)
    weights = module[3].weight.clone()
    first, state = network(sample())
    first.sum().backward()
    again, _ = network(sample())
    again.sum().backward()  # not through the graph of the previous call
    assert torch.equal(first, again)
    assert state == []
    assert module[2].v == 0
    assert torch.equal(module[3].weight, weights)
    assert weights.abs().min() > 0


def test_multi_step_network_is_trained_with_averaged_weights(place: Path, tmp_path: Path) -> None:
    config = config_for(place, target=None, call="sequence", target_options={})
    config = config.model_copy(update={"epochs": 2, "ema": 0.9})
    done = train(config, out=tmp_path / "run", network=MultiStepNetwork())
    loaded = Classifier.load(done.checkpoint, network=MultiStepNetwork())
    assert loaded.predict(moving_bar(0, 0)).class_name in BAR_CLASSES


class Returns(nn.Module):
    """Module that returns a given value."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value, self.weight = value, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, *_: object) -> Any:
        return self.value(x) if callable(self.value) else self.value


@pytest.mark.parametrize(
    ("call", "value", "found"),
    [
        ("sequence", torch.ones(6, 3, 4), ("[6, 3, 4]", "[6, 3, 3]", "[3, 3]")),
        ("sequence", torch.ones(6, 3, 3, dtype=torch.int64), "int64"),
        ("sequence", None, "NoneType"),
        ("sequence_state", torch.ones(6, 3, 3), "Tensor"),
        ("step_state", (torch.ones(3, 3), 5), "int"),
        ("step_state", (torch.ones(1, 3), None), "[6, 1, 3]"),
        ("sequence", lambda x: x @ torch.ones(5, 5), ("RuntimeError", "test_module.py", "[6, 3, 2, 12, 16]")),
        ("step", torch.ones(3, 3), ("reset_mem", "reset")),
    ],
)
def test_module_errors_are_one_line(call: Any, value: Any, found: object) -> None:
    with raises(ConfigError, found) as caught:
        ModuleNetwork(Returns(value), call, 3, "target = a:b")(sample())
    assert str(caught.value).startswith("target = a:b")
    assert "\n" not in str(caught.value)


def test_network_must_be_a_module_with_storable_weights() -> None:
    odd = nn.Linear(2, 2)
    odd.register_buffer("phase", torch.ones(2, dtype=torch.complex64))
    compiled = torch.compile(nn.Linear(2, 2))
    for module, found in (
        (print, "builtin_function_or_method"),
        (nn.ReLU(), "weights"),
        (odd, ("phase", "torch.complex64")),
        (compiled, "torch.compile"),
    ):
        with raises(ConfigError, found):
            ModuleNetwork(module, "sequence", 2)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"rule": "ottt"}, ("network = module", "rule=bptt")),
        ({"truncate": 5}, ("call = sequence", "truncate=null")),
        ({"segment": 5}, ("call = sequence", "segment=null")),
        ({"call": "step", "ema": 0.9}, ("call = step", "ema=0")),
        ({"call": "cells"}, ("call = 'cells'", "sequence_state")),
        ({"network": "mlp", "target": "a:b"}, ("target", "network = module")),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_settings_that_require_known_layers_are_rejected(settings: dict[str, Any], found: object) -> None:
    with raises(ConfigError, found):
        check_settings(TrainConfig.model_validate({"network": "module"} | settings))


def test_functions_that_require_layers_reject_a_module(run: TrainingRun, tmp_path: Path) -> None:
    loaded = Classifier.load(run.checkpoint, trust=PACKAGE)
    with raises(CheckpointError, "network = module"):
        adapt(loaded, [moving_bar(0, 0)])
    with raises(ConfigError, "network = module"):
        export(run.checkpoint, tmp_path / "a.onnx")
    with count_activity(loaded.network) as layers:
        loaded.network(sample())
    assert layers == []


def test_other_classes_do_not_fit_a_module(run: TrainingRun, place: Path, tmp_path: Path) -> None:
    config, network = load_checkpoint(run.checkpoint, modules=ModuleSource.of(PACKAGE))
    path = tmp_path / "others.safetensors"
    save_checkpoint(path, config.model_copy(update={"classes": ("a", "b", "c")}), network)
    with raises(ConfigError, "a", "b", "c"):
        train(config_for(place).model_copy(update={"init": str(path)}), out=tmp_path / "run", trust=PACKAGE)
