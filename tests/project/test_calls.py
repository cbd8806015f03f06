"""First calls that a NumPy, PyTorch or Tonic person types: settings by name, errors of our own, one-line reprs."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import random_events
from facts import mentions, raises

import dvspipe
from dvspipe.base import errors
from dvspipe.base.config import Settings
from dvspipe.datasets import SpikeTensors, TensorSettings, from_recordings, open_dataset
from dvspipe.encoding import ToSpikes
from dvspipe.events import filters
from dvspipe.events.filters import filter_events, filter_stream, start_filter
from dvspipe.formats import write
from dvspipe.networks import MlpConfig, SpikingNetwork
from dvspipe.results import Record
from dvspipe.synthesis import ClipSettings, draw_person, render_gesture
from dvspipe.torch import EventStream, SpikeDataset

EVENTS = random_events(0, 400)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 7, 12), np.uint8)
BINS: dict[str, Any] = {"steps": 3, "step_us": 20_000}
MAX_LETTERS = 400


def frames() -> list[dvspipe.Frame]:
    return [*dvspipe.frames_from_arrays([*IMAGES], fps=30)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(10):
        write(tmp_path / "recordings" / "ab"[seed % 2] / f"{seed}.h5", random_events(seed, 200))
    return tmp_path / "recordings"


WAYS: dict[str, tuple[Callable[..., Any], type[Settings], dict[str, Any]]] = {
    "encode": (lambda *a, **k: dvspipe.encode(EVENTS, *a, **k), dvspipe.BinConfig, BINS),
    "encode_stream": (lambda *a, **k: np.stack([*dvspipe.encode_stream([EVENTS], *a, **k)]), dvspipe.BinConfig, BINS),
    "ToSpikes": (lambda *a, **k: ToSpikes(*a, **k)(EVENTS), dvspipe.BinConfig, BINS),
    "SpikeDataset": (
        lambda *a, **k: SpikeDataset(from_recordings([(EVENTS, 0), (EVENTS, 1)]), *a, **k)[0][0].numpy(),
        dvspipe.BinConfig,
        BINS,
    ),
    "EventStream": (lambda *a, **k: next(iter(EventStream(EVENTS, *a, **k)))[0].numpy(), dvspipe.BinConfig, BINS),
    "simulate": (
        lambda *a, **k: np.concatenate([each.t for each in dvspipe.simulate(frames(), *a, **k)]),
        dvspipe.SimulatorConfig,
        {"pos_thres": 0.3, "seed": 3},
    ),
    "events_from_video": (
        lambda *a, **k: dvspipe.events_from_video(IMAGES, *a, **k).t,
        dvspipe.ConvertConfig,
        {"video": {"fps": 30}, "simulator": {"pos_thres": 0.3}},
    ),
    "encode_frames": (
        lambda *a, **k: np.stack([each.values for each in dvspipe.encoding.encode_frames(EVENTS, *a, **k)]),
        dvspipe.encoding.FrameConfig,
        {"every_us": 20_000},
    ),
    "filter_stream": (
        lambda *a, **k: np.concatenate([each.t for each in filter_stream(EVENTS, *a, **k)]),
        dvspipe.FilterConfig,
        {"refractory_us": 5000},
    ),
    "start_filter": (
        lambda *a, **k: filter_events(EVENTS, start_filter((12, 7), *a, **k))[0].t,
        dvspipe.FilterConfig,
        {"refractory_us": 5000},
    ),
    "open_video": (lambda *a, **k: dvspipe.open_video(IMAGES, *a, **k).times_us, dvspipe.VideoSettings, {"fps": 50}),
}


@pytest.mark.parametrize("name", WAYS)
def test_names_a_mapping_and_a_model_give_equal_results(name: str) -> None:
    call, model, settings = WAYS[name]
    expected = call(model(**settings))
    assert np.size(expected)
    for found in (call(settings), call(**settings), call(None, **settings)):
        assert np.array_equal(found, expected)
    with raises(dvspipe.ConfigError, "nothing_like_it"):
        call(nothing_like_it=1)
    with raises(dvspipe.ConfigError, model.__name__, 10):
        call(10)


def test_settings_of_groups_have_short_names() -> None:
    full = dvspipe.events_from_video(IMAGES, {"video": {"fps": 30}, "simulator": {"pos_thres": 0.3}})
    assert dvspipe.events_from_video(IMAGES, fps=30, pos_thres=0.3) == full


def test_hints_may_be_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("".join(f"{t},{x},{y},{int(p)}\n" for x, y, t, p in EVENTS.structured().tolist()))
    assert dvspipe.read(path, sensor="12x7", hints={"columns": "txyp", "time_unit": "us"}) == EVENTS
    for hints, facts in (({"chp": "DVS128"}, ("chp", "chip")), ({"columns": "tx"}, "tx"), ({"time_unit": "h"}, "h")):
        with raises(dvspipe.ConfigError, "Hints", facts):
            dvspipe.read(path, sensor="12x7", hints=hints)


def test_preset_is_a_base_of_settings() -> None:
    noisy = dvspipe.SimulatorConfig.from_preset("noisy")
    assert noisy.noisy
    assert dvspipe.SimulatorConfig.from_preset("noisy", seed=9) == noisy.model_copy(update={"seed": 9})
    with raises(dvspipe.ConfigError, "dvs129", "dvs128"):
        dvspipe.SimulatorConfig.from_preset("dvs129")


def test_transforms_compose_with_tonic() -> None:
    from tonic.transforms import Compose, RandomFlipLR

    compose = Compose([RandomFlipLR((12, 7, 2), p=1), ToSpikes(sensor=(12, 7, 2), **BINS)])
    expected = dvspipe.encode(EVENTS, BINS)[..., ::-1]
    assert np.array_equal(compose(EVENTS.structured()), expected)
    assert np.array_equal(ToSpikes(**BINS)(EVENTS), expected[..., ::-1])
    assert ToSpikes(**BINS) == ToSpikes(BINS) == ToSpikes(dvspipe.BinConfig(**BINS))
    assert len({ToSpikes(**BINS), ToSpikes(BINS)}) == 1
    with raises(dvspipe.EventError, "sensor"):
        ToSpikes(**BINS)(EVENTS.structured())
    with raises(dvspipe.EventError, "12x7", "34x34"):
        ToSpikes(BINS, (34, 34))(EVENTS)


def test_network_takes_names_a_mapping_or_a_model() -> None:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"grid": (12, 7), "classes": 2, "dt": 1e-3}
    for network in (
        SpikingNetwork(MlpConfig(channels=(5,)), **shape),
        SpikingNetwork({"kind": "mlp", "channels": [5]}, **shape),
        SpikingNetwork(kind="mlp", channels=[5], **shape),
    ):
        assert network.config == MlpConfig(channels=(5,))
    for wrong, facts in (
        ({"kind": "mpl"}, ("mpl", "mlp")),
        ({"chanels": 3}, "channels"),
        ({"kind": "module"}, "module"),
    ):
        with raises(dvspipe.ConfigError, facts):
            SpikingNetwork(**wrong, **shape)


def test_classifier_is_loaded_not_constructed_from_a_name() -> None:
    with raises(dvspipe.CheckpointError, "Classifier.load('nmnist-synthetic')"):
        dvspipe.Classifier("nmnist-synthetic")


def test_settings_of_a_rendered_clip_have_names() -> None:
    person, settings = draw_person(np.random.default_rng(0)), {"duration_us": 0, "fps": 50}

    def image(*given: Any, **named: Any) -> Any:
        return next(render_gesture(1, person, np.random.default_rng(0), *given, **named)).image

    assert np.array_equal(image(settings), image(**settings))
    assert np.array_equal(image(ClipSettings(duration_us=0, fps=50)), image({"duration_us": 0}, fps=50))


def test_frames_writes_a_folder_as_the_command_does(tmp_path: Path) -> None:
    EVENTS.save(tmp_path / "a.h5")
    [count] = dvspipe.frames(tmp_path / "a.h5", tmp_path / "frames", every_us=50_000)
    assert (count.events, count.frames) == (len(EVENTS), len([*(tmp_path / "frames").rglob("*.png")]))
    assert dvspipe.frames(str(tmp_path / "a.h5"), str(tmp_path / "frames"), {"every_us": 50_000}) == ()
    with raises(dvspipe.FileError, "every_us", 50000, 9000):
        dvspipe.frames(tmp_path / "a.h5", tmp_path / "frames", every_us=9000)
    assert dvspipe.frames(tmp_path / "a.h5", tmp_path / "default")[0].events == len(EVENTS)


SIMILAR: dict[str, tuple[Any, ...]] = {
    "dvspipe.SensorSize('128x128')": ("SensorSize", "width"),
    "dvspipe.SensorSize(12)": ("SensorSize", "missing", "height"),
    "dvspipe.Region(x=0, y=0, w=4, h=4)": ("Region", "unknown", "x"),
    "ev.__setitem__(0, 3)": ("read-only", "events.t.copy()"),
    "ev.between(None, 5)": ("between", "None"),
    "ev.shift_time(10**30)": ("shift_time", 10**30),
    "np.asarray(ev, float)": ("float64", "events.to_torch()"),
    "dvspipe.merge.edit('a.h5')": ("merge", "recordings", "a.h5"),
    "dvspipe.convert_many([], engine=2)": ("engine", "int 2"),
    "dvspipe.frames_from_arrays([], fps=0)": ("fps", 0),
    "dvspipe.TestResult()": ("TestResult",),
    "dvspipe.RunFolder(5)": ("RunFolder", "int 5"),
    "filters.start_filter(ev.sensor, activty_us=5)": ("activty_us", "activity_us"),
    "list(filters.filter_stream([5], activity_us=5))": ("int 5", "Events"),
    "filters.count_pixels([ev], (3, 3))": ("12x7", "3x3"),
    "list(encoding.encode_frames([ev]))": ("every_us", "every_events"),
    "encoding.Latency(steps=5).encode([[0.1], [0.2, 0.3]])": ("values", "list"),
    "dvspipe.datasets.from_recordings([(5, 0)])": ("recording 0", "int 5"),
    "dt.collate([1, 2])": ("collate", "int 1"),
    "dt.collate([])": ("collate", "none"),
    "dt.collate([(torch.zeros(2, 1, 3, 3), 0), (torch.zeros(2, 2, 3, 3), 1)])": ("collate", "float32[2, 2, 3, 3]"),
    "dt.loader(data, 0)": ("loader", "batch_size"),
    "dt.loader(data, num_workers='2')": ("loader",),
    "dt.loader(data, collate_fn=lambda items: items)": ("collate_fn", "time_first"),
    "data['a']": ("SpikeDataset", "str 'a'"),
    "data[[0, 1]]": ("SpikeDataset", "Subset"),
    "dt.LIF(beta=0.9)(5)": ("LIF", "currents", "int 5", "Tensor"),
    "dt.LIF(beta=0.9)(np.zeros((5, 2)))": ("LIF", "ndarray"),
    "dt.LIF(beta=0.9)(torch.zeros(0, 1, 2))": ("LIF", "[0, 1, 2]"),
    "dt.LIF(beta=0.9)(torch.zeros(5, 2))": ("LIF", "[5, 2]", "step(currents, state)"),
    "dt.LeakyReadout(beta=0.9)(torch.zeros(5, 2))": ("LeakyReadout", "[5, 2]", "step(currents, state)"),
    "dt.LIF(beta=0.9)(torch.zeros(5, 1, 2), torch.zeros(3))": ("state", "[3]", "[1, 1, 2]"),
    "dt.LeakyReadout(dt=0.01)(torch.tensor(0.0))": ("LeakyReadout", "currents", "[]"),
    "dt.LeakyReadout.from_norse(5)": ("int", "LIBoxParameters"),
    "net(torch.zeros(5, 2, 7, 12))": ("spikes", "[5, 2, 7, 12]", "C = 2", "H = 7", "W = 12"),
    "net(torch.zeros(5, 1, 2, 12, 7))": ("[5, 1, 2, 12, 7]", "H = 7"),
    "net(torch.zeros(5, 1, 2, 7, 12), ())": ("state",),
    "net(torch.zeros(5, 1, 2, 7, 12), 5)": ("state", "int 5"),
    "networks.FirstSpikeLayer(0, 2)": ("FirstSpikeLayer", "inputs = 0"),
    "networks.IntegrateAndFire(2, 3, kernel=9, threshold=1.0)(torch.zeros(3, 1, 5, 5, 2))": ("5x5", 9),
    "rules.Bptt(net).update(spikes, lambda y: y)": ("loss", "[3, 2, 2]"),
    "rules.Bptt(net).update(spikes, lambda y: 5)": ("loss", "int 5"),
    "rules.Bptt(net, steps=0)": ("Bptt", "steps = 0"),
    "rules.backpropagate(torch.nn.Linear(4, 2), spikes, loss)": ("network", "(spikes, state)"),
    "rules.build_rule('foo', net)": ("foo", "eprop"),
    "rules.EventPropLayer(3, 2)(torch.zeros(1, 4))": ("[2, 3]", "N = 4"),
    "rules.SpikePropLayer(3, 1, delays=['a'], tau=7)": ("delays", "'a'"),
    "rules.SuperSpikeLayer(3, 2, dt=0)": ("SuperSpikeLayer", "dt = 0"),
    "rules.VanRossum(1e-3, 0.01, 0.01)": ("VanRossum", 0.01),
    "rules.RMaxProp([], lr=0.1)": ("RMaxProp", "params"),
    "dvspipe.learn('nowhere.mp4', 'run', people='a')": ("people", "'a'"),
    "dvspipe.learn('nowhere.mp4', 'run')": ("nowhere.mp4",),
    "dvspipe.quantise('nowhere', 'nowhere')": ("nowhere",),
    "dvspipe.live('nowhere.h5', 'nmnist-synthetic')": ("nowhere.h5",),
    "dvspipe.live('a.h5', 'nmnist-synthetic', every=5)": ("every",),
    "dvspipe.frames('nowhere', 'frames', every=5)": ("every", "every_us"),
}
"""Calls with a mistake, and the facts of the error."""


@pytest.mark.parametrize("code", SIMILAR)
def test_mistake_in_a_call_is_one_line(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = SpikingNetwork(
        kind="mlp", channels=[3], reset="subtract", detach_reset=True, grid=(12, 7), classes=2, dt=1e-3
    )
    rooms = {name: getattr(dvspipe, name) for name in ("encoding", "rules", "networks")}
    names = rooms | {
        "dvspipe": dvspipe,
        "dt": dvspipe.torch,
        "filters": filters,
        "np": np,
        "torch": torch,
        "ev": EVENTS,
        "net": net,
        "spikes": torch.zeros(3, 2, 2, 7, 12),
        "loss": lambda outputs: outputs.sum(),
        "data": SpikeDataset(from_recordings([(EVENTS, 0), (EVENTS, 1)]), BINS),
    }
    with raises((dvspipe.DvspipeError, AttributeError, TypeError), SIMILAR[code]) as caught:
        eval(code, names)
    assert "\n" not in str(caught.value)


def test_all_errors_are_public() -> None:
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert kinds <= set(dir(dvspipe))


@pytest.mark.slow
def test_folder_is_trained_with_settings_by_name(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short: dict[str, Any] = {"rule": "eprop", "epochs": 2, "channels": [4], "cache": "none", "jobs": 1}
    with caplog.at_level(logging.INFO, logger="dvspipe.training"):
        run = dvspipe.train("recordings", "run", **short)
    assert run.folder.path == Path("run")
    assert len(run.epochs) == 2
    assert mentions(run.settings, "rule: eprop", "epochs: 2")
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert any(mentions(line, "eprop") for line in lines)
    assert dvspipe.train("recordings", "run", resume=True).epochs == run.epochs
    other = dvspipe.train({"data": {"root": str(folder)}}, network=MlpConfig(channels=(3,)), name="b", jobs=1, epochs=1)
    assert other.folder.path == Path("runs/train/b")
    assert mentions(other.settings, "kind: mlp")
    shown = (run, run.test, run.activity, run.epochs[0], dvspipe.Classifier.load(run.folder.path), run.folder)
    assert_brief(*shown, dvspipe.choose_settings(folder))


@pytest.mark.parametrize(
    ("wrong", "facts"),
    [
        ({"epoch": 3}, ("train", "epoch", "did you mean epochs?")),
        ({"resum": True}, ("resum", "resume")),
        ({"kind": "mlp"}, ("data.kind", "network.kind")),
        ({"epochs": "many"}, ("optimiser.epochs", "many")),
    ],
)
def test_wrong_name_of_a_training_is_one_line(wrong: dict[str, Any], facts: Any, folder: Path) -> None:
    for given in (folder, {"root": str(folder)}):
        with raises(dvspipe.ConfigError, *facts) as caught:
            dvspipe.train(given, "run", **wrong)
        assert "\n" not in str(caught.value)
    for other in (3, [folder]):
        with raises(dvspipe.ConfigError, "TrainConfig"):
            dvspipe.train(other, "run")  # type: ignore[arg-type]


def assert_brief(*values: object) -> None:
    for value in values:
        assert "\n" not in repr(value)
        assert len(repr(value)) <= MAX_LETTERS, (type(value), len(repr(value)))
        assert " at 0x" not in repr(value)


def test_repr_of_results_is_one_line(folder: Path) -> None:
    classifier = dvspipe.Classifier.load("nmnist-synthetic")
    events = random_events(1, 3000, dvspipe.SensorSize(width=34, height=34), 300_000)
    prediction = classifier.predict(events, {"hop_us": 60_000})
    data = open_dataset(folder)
    tensors = SpikeTensors(data.train, TensorSettings(dvspipe.BinConfig(**BINS)))
    assert_brief(prediction, prediction.timeline, prediction.rates, prediction.segments[0], classifier, data, tensors)
    assert_brief(SpikeDataset(data, BINS), EventStream(EVENTS, BINS), data.train[0], dvspipe.open_video(IMAGES, fps=9))
    assert_brief(*frames()[:1], dvspipe.open_recording(next(folder.rglob("*.h5"))), dvspipe.EventSimulator(seed=3))
    assert str(prediction) == repr(prediction)
    assert mentions(repr(prediction), prediction.class_name)
    assert mentions(repr(data), f"{len(data.train)} train", "2 classes", "12x7")


def test_no_record_has_a_long_repr() -> None:
    class Long(Record):
        rows: tuple[int, ...]
        text: str

    assert repr(Long(rows=(1,) * 1000, text="a" * 1000)) == f"Long(rows=<1,000 items>, text='{'a' * 57}...')"
