"""Commands are functions of `dvspipe` and methods of `Events`; wrong first guesses say what to write."""

from __future__ import annotations

import importlib.util
import inspect
import io
import pkgutil
import re
import types
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from conftest import random_events
from facts import mentions, raises

import dvspipe
from dvspipe import DvspipeError, Events
from dvspipe.cli.app import COMMAND_NAMES
from dvspipe.events.methods import EventMethods

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"
SENSOR = dvspipe.SensorSize(width=128, height=128)
EVENTS = random_events(0, 2000, SENSOR, 800_000).shift_time(1_700_000_000_000_000)
METHODS = [name for name in vars(EventMethods) if not name.startswith("_")]
ONLY_RELATED = {"configs"}  # commands whose functions have other names
ROOMS: list[Any] = [dvspipe.torch, dvspipe.rules, dvspipe.encoding, dvspipe.datasets]
"""Modules that explain unknown names."""
OTHER_METHODS = {"save": "write", "to_torch": "torch.to_tensor"}
"""Methods whose function has another name."""


class Row(NamedTuple):
    """Row of the table of commands."""

    command: str
    function: str
    method: str


def table() -> list[Row]:
    section = PAGE.read_text(encoding="utf-8").partition("| command | function | method |")[2].partition("\n\n")[0]
    rows = (line.strip("|").split("|") for line in section.splitlines()[2:])
    return [Row(*(cell.strip(" `") for cell in row)) for row in rows]


def test_table_lists_every_command_with_its_function_and_method() -> None:
    assert sorted(row.command for row in table()) == sorted(COMMAND_NAMES)
    for row in table():
        found = pkgutil.resolve_name(row.function.partition("`")[0]) if row.function else None
        if inspect.isfunction(found) and row.command not in ONLY_RELATED:
            assert row.function == f"dvspipe.{row.command}"
        assert row.method in ("", f"events.{row.command}")


def test_every_command_that_takes_one_recording_is_a_method() -> None:
    methods = {row.method.removeprefix("events.") for row in table() if row.method}
    assert methods == {"check", "view", "cut", "filter", "infer"} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_method_is_the_function_with_the_same_name(name: str) -> None:
    function = pkgutil.resolve_name(f"dvspipe.{OTHER_METHODS.get(name, name)}")
    method = getattr(Events, name)
    if method is function:
        assert (
            inspect.signature(getattr(EVENTS, name)).parameters.keys() < inspect.signature(function).parameters.keys()
        )
        return

    assert mentions(inspect.getdoc(method) or "", f"dvspipe.{function.__name__}")
    of_function = inspect.signature(function).parameters
    for argument, each in inspect.signature(method).parameters.items():
        if argument != "self" and each.kind is not each.VAR_KEYWORD:
            assert argument in of_function
            assert each.default == of_function[argument].default


def test_methods_give_the_results_of_the_functions(tmp_path: Path) -> None:
    events = EVENTS
    assert events.cut(0.1, 0.3, "64x64+10+10") == dvspipe.cut(events, 0.1, 0.3, "64x64+10+10")
    assert events.filter(refractory_us=5000) == dvspipe.filter(events, refractory_us=5000)
    assert events.check(gap_us=1000) == dvspipe.check(events, gap_us=1000)
    assert np.array_equal(events.encode(steps=3), dvspipe.encode(events, dvspipe.BinConfig(steps=3)))
    assert list(events.windows(10_000)) == list(dvspipe.windows([events], 10_000))
    assert events.save(tmp_path / "a.h5") == len(events)
    assert dvspipe.read(tmp_path / "a.h5") == events
    events.view(tmp_path / "a.png", window_us=100_000)
    dvspipe.view(tmp_path / "a.h5", tmp_path / "b.png", {"window_us": 100_000})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    classifier = dvspipe.Classifier.load("gesture-films")
    expected = classifier.predict(events, {"window_us": 540_000})
    assert events.infer(classifier, window_us=540_000).probabilities == expected.probabilities
    tensor = events.to_torch()
    assert (tensor.dtype, tuple(tensor.shape)) == (torch.int64, (len(events), 4))
    assert np.array_equal(tensor.numpy(), np.stack([events.t, events.x, events.y, events.p], 1))


def public_functions() -> dict[str, Any]:
    """Public functions by name, with the class methods that users call first."""
    found = {name: getattr(dvspipe, name) for name in dir(dvspipe)}
    functions = {name: each for name, each in found.items() if inspect.isfunction(each)}
    return functions | {"Classifier.load": dvspipe.Classifier.load, "Events": Events}


@pytest.mark.parametrize("name", public_functions())
def test_function_refuses_values_of_wrong_types_and_unknown_names(name: str) -> None:
    function = public_functions()[name]
    parameters = list(inspect.signature(function).parameters.values())
    fixed = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if fixed and fixed[0].default is fixed[0].empty:
        with raises(DvspipeError, name, fixed[0].name):
            function()
    if fixed:
        wrong = {each.name: types.SimpleNamespace() for each in fixed}
        with raises(DvspipeError):
            function(**wrong)
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        with raises(DvspipeError, name, "no_such_argument"):
            function(no_such_argument=1)


def test_modules_are_attributes() -> None:
    for name in ("torch", "rules", "datasets", "formats", "encoding"):
        assert inspect.ismodule(getattr(dvspipe, name))
        assert name in dir(dvspipe)
    assert re.match(r"\d+\.\d+", dvspipe.__version__)


def test_missing_module_is_not_found() -> None:
    for name in ("dvspipe.test", "dvspipe.filters"):
        assert importlib.util.find_spec(name) is None


def test_star_import_replaces_no_module_and_no_name_of_python() -> None:
    names = {"torch": torch, "filter": filter, "events": EVENTS}
    before = dict(names)
    exec("from dvspipe import *", names)
    assert {name: names[name] for name in before} == before
    assert {"Events", "read", "write", "encode", "train"} <= set(names)


FIRST_CALLS = {
    "ev[:100]": Events,
    "ev[0]": tuple,
    "ev[ev.t < ev.t[0] + 1000]": Events,
    "ev[-100:]": Events,
    "ev.width": int,
    "tuple(ev.sensor)": tuple,
    "np.array(ev)": np.ndarray,
    "np.asarray(ev)": np.ndarray,
    "ev.to_torch()": torch.Tensor,
    "ev.slice_time(0.0, 1.0)": Events,
    "ev.slice_time(ev.t[0], ev.t[0] + 500_000)": Events,
    "ev.crop(10, 10, 64, 64)": Events,
    "ev.crop(10, 10, (64, 64))": Events,
    "ev.crop(10, 10, dvspipe.SensorSize(width=64, height=64))": Events,
    "dvspipe.filter(ev)": "activity_us=20000",
    "dvspipe.read('a.h5', start=0, stop=1)": "start_us or start_s",
    "dvspipe.read('a.h5', start_s=0, stop_s=1)": Events,
    "ev.save('b.h5')": int,
    "Events.from_structured(np.zeros((3, 4)), (10, 10))": "expected x, y, t and p",
    "ev.encode(steps=10)": np.ndarray,
    "dvspipe.encode(ev, steps=10, step_us=100_000)": np.ndarray,
    "dvspipe.encode(ev, dict(steps=10, step_us=100_000))": np.ndarray,
    "dvspipe.Classifier('gesture-films')": "Classifier.load('gesture-films')",
    "ev.plot()": object,
    "ev.plot('rater')": "raster",
    "ev.animate({'window_us': 5000})": object,
    "ev.animate(window_us=5000)": object,
    "dvspipe.concatenate([ev[:10], ev[10:20]], ev.sensor)": Events,
    "dvspipe.concatenate([ev[:10], ev[10:20]])": Events,
    "dvspipe.merge([ev, ev])": Events,
    "ev + ev": "dvspipe.merge",
    "hash(ev)": int,
    "(bool(ev), bool(ev[:0]))": tuple,
    "[t for t, x, y, p in ev[:2]]": list,
    "dvspipe.encode(ev.structured(), steps=10, step_us=100_000)": np.ndarray,
    "dvspipe.info('a.h5')": object,
    "dvspipe.read(123)": "int 123",
    "dvspipe.read(io.BytesIO())": "BytesIO",
    "dvspipe.train('DIR', 'run')": "DIR",
    "dvspipe.evaluate('gesture-films', 'DIR')": "DIR",
    "dvspipe.cut(ev, 0.1, 0.3)": Events,
    "ev.filter(activity_us=20_000)": Events,
    "dvspipe.torch.SpikeDataset": type,
    "dvspipe.__version__": str,
}
"""First calls of people who know NumPy, PyTorch or Tonic; the type of the result, or what the error names."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("first_calls")
    EVENTS.save(path / "a.h5")
    return path


@pytest.mark.parametrize("code", FIRST_CALLS)
def test_first_call_works_or_says_what_to_write(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    expected, names = FIRST_CALLS[code], {"dvspipe": dvspipe, "io": io, "np": np, "ev": EVENTS, "Events": Events}
    if isinstance(expected, type):
        assert isinstance(eval(code, names), expected)
        return
    with raises((DvspipeError, AttributeError), expected):
        eval(code, names)
