"""The public names of `import dvspipe`, and the modules that it loads."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import random_events
from facts import raises

import dvspipe
from dvspipe import Events
from dvspipe.events.filter_config import FilterConfig
from dvspipe.formats import Hints
from dvspipe.inference import ClassifyConfig, InferConfig
from dvspipe.video.writing import write_video


def test_public_names_load_and_are_documented() -> None:
    names = dir(dvspipe)
    assert {"convert_video", "train", "Classifier"} <= set(names)
    assert [name for name in names if not getattr(dvspipe, name).__doc__] == []


def test_py_typed_is_included() -> None:
    assert (Path(dvspipe.__file__).parent / "py.typed").is_file()


TAKE_MORE = {
    "adapt",
    "calibrate",
    "choose_settings",
    "evaluate",
    "learn",
    "quantise",
    "track",
    "train",
}
"""Functions of paths that need more than one recording."""


def test_public_functions_accept_path_strings(tmp_path: Path) -> None:
    texts = {name: str(tmp_path / name) for name in ("a.webm", "a.h5", "b.csv", "c.h5", "out")}
    frames = dvspipe.frames_from_arrays([np.full((32, 48), 60 * number, np.uint8) for number in range(3)], fps=30)
    write_video(Path(texts["a.webm"]), frames)
    events = random_events(0, 2000, dvspipe.SensorSize(width=34, height=34), 310_000)
    task = dvspipe.ConversionTask(texts["a.webm"], texts["c.h5"])  # type: ignore[arg-type]
    checkpoint = str(Path(dvspipe.__file__).parent / "checkpoints" / "nmnist-synthetic.safetensors")

    calls: dict[str, Callable[[], object]] = {
        "write": lambda: dvspipe.write(texts["a.h5"], events),
        "read": lambda: dvspipe.read(texts["a.h5"]),
        "iterate": lambda: list(dvspipe.iterate(texts["a.h5"])),
        "info": lambda: dvspipe.info(texts["a.h5"]),
        "open_video": lambda: dvspipe.open_video(texts["a.webm"]),
        "events_from_video": lambda: dvspipe.events_from_video(texts["a.webm"]),
        "convert_video": lambda: dvspipe.convert_video(texts["a.webm"], texts["b.csv"]),
        "plan_conversions": lambda: dvspipe.plan_conversions([texts["a.webm"]], texts["c.h5"]),
        "convert_many": lambda: [done.result() for done in dvspipe.convert_many([task])],
        "open_recording": lambda: dvspipe.open_recording(texts["a.h5"]),
        "convert": lambda: dvspipe.convert(texts["a.webm"], f"{tmp_path}/converted.csv"),
        "cut": lambda: dvspipe.cut(texts["a.h5"], f"{tmp_path}/cut.h5", start_s=0.1, stop_s=0.2),
        "filter": lambda: dvspipe.filter(texts["a.h5"], f"{tmp_path}/filtered.h5", FilterConfig(refractory_us=500)),
        "merge": lambda: dvspipe.merge([texts["a.h5"]], f"{tmp_path}/merged.h5"),
        "compare": lambda: dvspipe.compare(texts["a.h5"], texts["a.h5"]),
        "view": lambda: dvspipe.view(texts["a.h5"], f"{tmp_path}/a.png"),
        "export": lambda: dvspipe.export(checkpoint, f"{tmp_path}/a.nir"),
        "infer": lambda: dvspipe.infer(checkpoint, texts["a.h5"], config=InferConfig(sensor="34x34")),
        "frames": lambda: dvspipe.frames(texts["a.h5"], f"{tmp_path}/frames"),
        "live": lambda: next(
            iter(dvspipe.live(texts["a.h5"], checkpoint, ClassifyConfig(fit="scale"), speed=1000000.0))
        ),
        "Classifier": lambda: dvspipe.Classifier.load(checkpoint).predict(texts["a.h5"], InferConfig(sensor="34x34")),
    }
    takes_paths = {
        name
        for name in dir(dvspipe)
        if inspect.isfunction(found := getattr(dvspipe, name)) and "Path" in str(inspect.signature(found))
    }
    assert takes_paths - set(calls) == TAKE_MORE
    for call in calls.values():
        call()
    (tmp_path / "mine.yaml").write_text("root: nowhere\n", encoding="utf-8")
    for source in (str(tmp_path / "mine.yaml"), "nowhere"):
        with raises(dvspipe.DvspipeError, "nowhere"):
            dvspipe.train(source, out=texts["out"])
    for function in (
        dvspipe.choose_settings,
        dvspipe.track,
        lambda path: dvspipe.evaluate(checkpoint, path),
        lambda path: dvspipe.quantise(checkpoint, path),
        lambda path: dvspipe.learn(path, texts["out"]),
    ):
        with raises(dvspipe.DvspipeError, "nowhere"):
            function("nowhere")


def test_sensor_size_may_be_a_tuple_or_a_string(tmp_path: Path) -> None:
    size = dvspipe.SensorSize(width=34, height=20)
    for given in (size, (34, 20), [34, 20], np.array([34, 20]), "34x20"):
        assert dvspipe.SensorSize.of(given) == size  # type: ignore[arg-type]
        assert Events([], [], [], [], given) == Events.empty(given)  # type: ignore[arg-type]
        path = tmp_path / f"{type(given).__name__}.csv"
        assert dvspipe.write(path, [], given) == 0  # type: ignore[arg-type]
        assert dvspipe.read(path, hints=Hints(sensor="34x20")).sensor == size
        assert dvspipe.concatenate([], given).sensor == size  # type: ignore[arg-type]
    for wrong in ((34,), (34.5, 20), "34", 34, ("a", "b"), (0, 20)):
        with raises(dvspipe.DvspipeError, "sensor"):
            dvspipe.SensorSize.of(wrong)  # type: ignore[arg-type]


def test_unknown_name_is_an_attribute_error() -> None:
    with raises(AttributeError, "evnets"):
        dvspipe.evnets  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import dvspipe", {"torch", "tonic", "norse", "numba", "cv2", "h5py", "numpy", "matplotlib"}),
        ("from dvspipe import read, simulate, convert_video, encode", {"torch", "tonic"}),
        ("import dvspipe.report", {"matplotlib", "scipy", "PIL", "jinja2", "torch", "numba"}),
    ],
)
def test_imports_do_not_load_heavy_libraries(code: str, heavy: set[str]) -> None:
    report = "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    assert not set(done.stdout.splitlines()[-1].split()) & heavy
