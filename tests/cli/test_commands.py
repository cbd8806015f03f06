"""A command has the arguments, options, types, defaults and help of a function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest
from cyclopts import App, CoercionError, MissingArgumentError, UnknownOptionError
from pydantic import Field

from dvspipe.base.errors import ConfigError
from dvspipe.base.settings import Settings
from dvspipe.cli.commands import load_command

if TYPE_CHECKING:
    from nowhere import Recording  # type: ignore[import-not-found]


class Filter(Settings):
    refractory_us: int | None = Field(default=None, ge=1)
    """Time between two events of a pixel."""
    mode: Literal["hot", "cold"] = "hot"


class Training(Settings):
    as_words: ClassVar[bool] = True
    epochs: int = 20
    channels: tuple[int, ...] = (12, 64)


def edit(
    recordings: str | Recording | Sequence[str | Path],
    out: str | Path,
    config: Filter = Filter(),
    *,
    start_s: float = 0.0,
    region: tuple[int, int] | None = None,
    starts: Mapping[str, float] | None = None,
    other: Sequence[Path] = (),
    overwrite: bool = False,
    jobs: int | str = 1,
    look: Callable[[str], str] | None = None,
    progress: Callable[[float, float], object] | None = None,
) -> dict[str, object]:
    """Edit recordings.

    Args:
        recordings: Recordings to edit.
        out: Output file.
        config: Settings.
        start_s: Start time in seconds.
        region: Width and height.
        starts: Start by name.
        other: Other files.
        overwrite: Replace an existing file.
        jobs: Number of processes.
        look: Never an option.
        progress: Never an option.

    Raises:
        ConfigError: If it is raised.
    """
    return {**locals()}


def learn(source: str, config: Training = Training()) -> Training:
    """Learn from a source."""
    assert source
    return config


@pytest.fixture(autouse=True)
def _as_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("functions_of_a_room")
    module.edit, module.learn = edit, learn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "functions_of_a_room", module)


def run(name: str, *words: str) -> Any:
    app = App(result_action="return_value", exit_on_error=False, print_error=False)
    app.default(load_command(f"functions_of_a_room:{name}", {"progress": print}))
    return app(words)


def test_arguments_options_and_settings_reach_the_function() -> None:
    words = "a.h5 b.h5 -o c.h5 --start-s 0.5 --region 3 4 --starts.wave 2 --other x --other y --refractory-us 9 -j 2"
    given = run("edit", *words.split())
    assert given == {
        "recordings": ("a.h5", "b.h5"),
        "out": "c.h5",
        "config": Filter(refractory_us=9),
        "start_s": 0.5,
        "region": (3, 4),
        "starts": {"wave": 2.0},
        "other": [Path("x"), Path("y")],
        "overwrite": False,
        "jobs": 2,
        "look": None,
        "progress": print,
    }
    assert given["config"].model_fields_set == {"refractory_us"}


def test_options_that_are_not_given_have_the_defaults_of_the_function() -> None:
    given = run("edit", "a.h5", "-o", "c.h5")
    assert given["config"] == Filter()
    assert (given["starts"], given["other"], given["jobs"]) == (None, (), 1)


def test_words_are_settings_of_a_model_with_too_many_for_options() -> None:
    assert run("learn", "data", "epochs=5", "channels=[8,16]") == Training(epochs=5, channels=(8, 16))
    with pytest.raises(ConfigError, match="epoch"):
        run("learn", "data", "epoch=5")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("a.h5", MissingArgumentError),
        ("-o c.h5", MissingArgumentError),
        ("a.h5 -o c.h5 --start 1", UnknownOptionError),
        ("a.h5 -o c.h5 --start-s soon", CoercionError),
        ("a.h5 -o c.h5 --mode warm", ConfigError),
        ("a.h5 -o c.h5 --look x", UnknownOptionError),
        ("a.h5 -o c.h5 --progress x", UnknownOptionError),
        ("a.h5 -o c.h5 --refractory-us 0", ConfigError),
    ],
)
def test_wrong_words_are_errors(words: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run("edit", *words.split())


def test_help_is_the_docstring_of_the_function_and_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    run("edit", "--help")
    said = " ".join(capsys.readouterr().out.split())
    for text in ("Edit recordings.", "Output file.", "Start time in seconds.", "Time between two events of a pixel."):
        assert text in said
    assert "Never" not in said
    assert "Raises" not in said
