"""Checks of the arguments of public functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from facts import raises
from numpy.typing import ArrayLike

import dvspipe
from dvspipe.base.arguments import checked, describe_value
from dvspipe.base.errors import ArgumentError, ConfigError, DvspipeError, find_similar
from dvspipe.parallel import Engine, Processes

if TYPE_CHECKING:
    from decimal import Decimal


MAX_CHECKED = 60


@checked
def play(
    path: str | Path,
    start_us: int | None = None,
    *,
    speed: float = 1.0,
    loop: bool = False,
    size: tuple[int, int] = (1, 1),
    callback: Callable[[int], object] | None = None,
    mode: Literal["a", "b"] = "a",
    labels: Sequence[int] = (),
) -> str:
    return f"{path} {start_us} {speed} {loop} {size} {callback} {mode} {labels}"


class Player:
    @checked
    def __init__(self, name: str) -> None:
        self.name = name

    @checked
    def play(self, times: int, /) -> int:
        return times


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("path", ["a", Path("a")]),
        ("start_us", [3, None, np.int64(3), True]),
        ("speed", [2, 0.5, np.float32(0.5), np.int16(2)]),
        ("loop", [True, np.True_, 1]),
        ("size", [(3, 4), [3, 4], np.array([3, 4])]),
        ("callback", [print, None]),
        ("mode", ["a", "c"]),  # the function explains wrong choices
        ("labels", [(3, 4), [3, 4], np.array([3, 4]), range(3)]),
    ],
)
def test_values_of_the_right_kind_are_accepted(name: str, values: Sequence[object]) -> None:
    for value in values:
        assert str(value) in play(**({"path": "x"} | {name: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "facts"),
    [
        ("path", 5, ("int 5", "str or Path")),
        ("path", None, ("found None", "Path")),
        ("start_us", 0.5, ("float 0.5", "int")),
        ("start_us", "3", ("str '3'", "int")),
        ("speed", "fast", ("str", "float")),
        ("loop", "yes", ("str", "bool")),
        ("size", "34", ("str", "tuple")),
        ("callback", 3, ("int", "Callable")),
        ("mode", 3, ("int", "a or b")),
    ],
)
def test_wrong_type_names_argument_value_and_expected_type(name: str, value: object, facts: tuple[str, ...]) -> None:
    with raises(ArgumentError, "play", name, facts):
        play(**({"path": "x"} | {name: value}))  # type: ignore[arg-type]


def test_wrong_names_and_numbers_of_arguments_are_explained() -> None:
    with raises(ArgumentError, "play", "start", "start_us"):
        play("x", start=3)  # type: ignore[call-arg]
    with raises(ArgumentError, "play", "spede", "speed"):
        play("x", spede=3)  # type: ignore[call-arg]
    with raises(ArgumentError, "play", "colour", "path", "start_us", "speed"):
        play("x", colour=3)  # type: ignore[call-arg]
    with raises(ArgumentError, "play", "missing", "path"):
        play()  # type: ignore[call-arg]
    with raises(ArgumentError, "play", "found 3", "path", "start_us"):
        play("x", 1, 2)
    with raises(ArgumentError, "read", "out") as caught:
        dvspipe.read("a.h5", out="b.h5")  # type: ignore[call-arg]
    assert "write" not in str(caught.value)
    with raises(ConfigError, "check", "out", "progress") as refused:
        dvspipe.check("a.h5", out="c.json")  # type: ignore[call-overload]
    assert "save" not in str(refused.value)


def test_output_without_a_name_is_suggested_by_name() -> None:
    with raises(ArgumentError, "cut", "start_s", "out='b.h5'"):
        dvspipe.cut("a.h5", "b.h5", start_s=1)  # type: ignore[arg-type]
    with raises(ArgumentError, "filter", "config", "out='b.h5'"):
        dvspipe.filter("a.h5", "b.h5", refractory_us=3)  # type: ignore[arg-type]
    with raises(ArgumentError, "merge", "found 2", "out='c.h5'"):
        dvspipe.merge(["a.h5", "b.h5"], "c.h5")


def test_output_is_not_suggested_for_other_mistakes() -> None:
    for mistake in (
        lambda: dvspipe.merge("a.h5", "b.h5"),
        lambda: dvspipe.cut("a.h5", "b.h5", out="c.h5"),  # type: ignore[arg-type]
        lambda: dvspipe.convert("a.h5", "b.h5", "c.h5"),  # type: ignore[call-overload]
        lambda: dvspipe.check("a.h5", "b.h5"),  # type: ignore[call-overload]
    ):
        with pytest.raises(ArgumentError) as caught:
            mistake()
        assert "out=" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("start", ["start_us", "start_s"]),
        ("window_s", ["window_us"]),
        ("output", ["out"]),
        ("batch_size", ["batch"]),
        ("epcohs", ["epochs"]),
        *((name, []) for name in ("hold_s", "device", "rule", "seed", "end", "workers", "threads")),
    ],
)
def test_only_near_names_are_suggested(name: str, found: list[str]) -> None:
    known = ["start_us", "start_s", "stop_s", "window_us", "hop_us", "out", "batch", "epochs", "video", "trust", "save"]
    assert find_similar(name, [*known, "sensor", "pos_thres"]) == found


def test_long_lists_of_names_are_not_listed() -> None:
    with raises(ConfigError, "convert", "workers", "none of the") as refused:
        dvspipe.convert("a.mp4", "a.h5", workers=2)  # type: ignore[call-overload]
    assert "pos_thres" not in str(refused.value)


def test_other_mistakes_of_calls_are_explained() -> None:
    with raises(ArgumentError, "merge", "found 2", "a list of recordings"):
        dvspipe.merge("a.h5", "b.h5")
    with raises(ArgumentError, "play", "path", "twice"):
        play("x", path="y")


def test_methods_are_named_with_their_class() -> None:
    with raises(ArgumentError, "Player", "name", "int 3"):
        Player(3)  # type: ignore[arg-type]
    with raises(ArgumentError, "Player.play", "times", "float 0.5"):
        Player("a").play(0.5)  # type: ignore[arg-type]
    with raises(ArgumentError, "Player.play", "found 2", "times"):
        Player("a").play(1, 2)  # type: ignore[call-arg]


def test_arguments_of_generators_are_checked_at_the_call() -> None:
    @checked
    def count(to: int) -> Iterator[int]:
        yield from range(to)

    assert list(count(2)) == [0, 1]
    with raises(ArgumentError, "count", "to"):
        count("2")  # type: ignore[arg-type]


def test_class_checks_the_arguments_of_its_objects() -> None:
    @checked
    @dataclass(frozen=True)
    class Size:
        width: int
        height: int = 1

    class Square(Size):
        pass

    assert Size(2) == Size(width=2, height=1)
    for kind in (Size, Square):
        with raises(ArgumentError, kind.__name__, "width", "str 'a'"):
            kind("a")  # type: ignore[arg-type]
        with raises(ArgumentError, kind.__name__, "missing", "width"):
            kind()  # type: ignore[call-arg]
        with raises(ArgumentError, kind.__name__, "widthh", "width"):
            kind(widthh=3)  # type: ignore[call-arg]


def test_call_with_other_types_is_checked_again() -> None:
    assert play("a", 1) == play("a", start_us=1)
    for _ in range(2):
        with raises(ArgumentError, "start_us"):
            play("a", "1")  # type: ignore[arg-type]
        with raises(ArgumentError, "start_us"):
            play("a", start_us="1")  # type: ignore[arg-type]


def test_text_is_not_a_sequence_of_other_things() -> None:
    @checked
    def join(paths: Sequence[Path], names: Sequence[str] = ()) -> None: ...

    join([Path("a")], "ab")
    with raises(ArgumentError, "join", "paths", "a.h5"):
        join("a.h5")  # type: ignore[arg-type]


def test_protocol_of_dvspipe_needs_its_methods() -> None:
    @checked
    def run(engine: Engine) -> None: ...

    run(Processes())
    with raises(ArgumentError, "run", "engine", "int 2", "Engine"):
        run(2)  # type: ignore[arg-type]


def test_decorated_functions_are_checked() -> None:
    @checked
    @contextmanager
    def hold(path: Path) -> Iterator[Path]:
        yield path

    with hold(Path("a")):
        pass
    with raises(ArgumentError, "hold", "path"), hold("a"):  # type: ignore[arg-type]
        pass


def test_types_that_cannot_be_checked_accept_any_value() -> None:
    @checked
    def accept(
        columns: ArrayLike, number: Decimal, items: Mapping[str, int], *more: int, **settings: int
    ) -> tuple[object, ...]:
        return columns, number, items, more, settings

    anything: dict[str, Any] = {"number": 3, "items": {"a": "b"}, "d": "e"}
    assert accept([1, 2], **anything)[4] == {"d": "e"}
    assert accept([1, 2], 3, {"a": 1}, "c")[3] == ("c",)  # type: ignore[arg-type]
    with raises(ArgumentError, "accept", "items", "Mapping"):
        accept([1, 2], 3, [])  # type: ignore[arg-type]


def test_argument_errors_are_type_errors_and_errors_of_dvspipe() -> None:
    assert issubclass(ArgumentError, DvspipeError)
    assert issubclass(ArgumentError, ConfigError)
    assert issubclass(ArgumentError, TypeError)


def test_errors_inside_a_function_are_not_changed() -> None:
    @checked
    def fail(value: int) -> None:
        raise KeyError(value)

    with pytest.raises(KeyError):
        fail(3)


def test_long_values_are_shortened() -> None:
    assert len(describe_value("a" * 1000)) < 100
    assert describe_value(np.zeros(10)) == "ndarray"


def test_only_the_boundary_is_checked() -> None:
    package = Path(dvspipe.__file__).parent
    places = [line for path in package.rglob("*.py") for line in path.read_text().split("\n") if "@checked" in line]
    assert 0 < len(places) <= MAX_CHECKED
