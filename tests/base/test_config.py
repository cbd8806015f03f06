from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from facts import raises
from pydantic import Field

from dvspipe.base.errors import ConfigError
from dvspipe.base.settings import Settings, find_differences, parse_overrides, show_settings
from dvspipe.base.yaml_files import shipped_configs
from dvspipe.encoding import BinConfig
from dvspipe.events.sensor import SIZE_PATTERN
from dvspipe.simulator import SimulatorConfig
from dvspipe.training import TrainConfig

SIMULATOR_PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "simulator.md"


class Layers(Settings):
    channels: tuple[Annotated[int, Field(le=10)], ...] = Field(default=(1, 2), min_length=1)
    rate: float = Field(default=0.5, gt=0)
    size: str | None = Field(default=None, pattern=SIZE_PATTERN)
    steps: Literal["off", "auto"] | Annotated[int, Field(ge=2)] = "off"
    shares: dict[str, float] = Field(default_factory=dict)


class Plant(Layers):
    kinds = {"area": ("kind", ("leaf", "needle")), "length": ("kind", ("twig",))}  # noqa: RUF012

    kind: Literal["leaf", "needle", "twig"] = "leaf"
    area: float = 1.0
    length: float = 1.0
    seed: int = 0


def test_overrides_are_typed() -> None:
    overrides = parse_overrides(["channels=[3,4]", "seed=7", "rate=1e-1"])
    assert overrides == {"channels": [3, 4], "rate": "1e-1", "seed": 7}  # a string in YAML 1.1, a number in the model
    assert Plant.model_validate(overrides) == Plant(channels=(3, 4), rate=0.1, seed=7)
    assert parse_overrides(show_settings(overrides).split()) == overrides


@pytest.mark.parametrize("text", ["seed", "=3", "a=1: 2: 3"])
def test_malformed_override_is_reported(text: str) -> None:
    with raises(ConfigError, text):
        parse_overrides([text])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sed": 1}, "sed = 1"),
        ({"zzz": 1, "seed": "x"}, ("zzz = 1", "seed = 'x'")),
        ({"rate": -1}, ("rate = -1", "0")),
        ({"rate": None}, "rate = None"),
        ({"channels": [1, "x", "y"]}, ("channels = 'x'", "channels = 'y'")),
        ({"channels": [9, 99]}, ("channels = 99", "10")),
        ({"channels": []}, "channels = []"),
        ({"size": 346}, ("size = 346", SIZE_PATTERN)),
        ({"steps": 1}, ("steps = 1", "off", "auto")),
        ({"shares": {"a": "x"}}, "shares = 'x'"),
        ({str(number): number for number in range(9)}, "4 = 4"),
    ],
)
def test_error_lists_wrong_settings_in_one_line(settings: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message) as caught:
        Plant(**settings)
    assert not {"\n", "5 = 5"} & {*str(caught.value)}


def test_dates_and_off_are_read_as_strings() -> None:
    assert parse_overrides(["a=2024-02-30", "b=2024-02-03", "c=off", "d=yes", "e=true", "f=null", "g="]) == {
        "a": "2024-02-30",
        "b": "2024-02-03",
        "c": "off",
        "d": "yes",
        "e": True,
        "f": None,
        "g": None,
    }
    assert TrainConfig.model_validate(parse_overrides(["name=2024-02-30"])).name == "2024-02-30"


@pytest.mark.parametrize(
    "value",
    [
        "!!int x",
        "!!timestamp x",
        "!!bool x",
        "[" * 5000,
        "9" * 5000,
        "\0",
        '"\\UFFFFFFFF"',
    ],
)
def test_yaml_that_crashes_pyyaml_is_one_error(value: str) -> None:
    with raises(ConfigError, "YAML"):
        parse_overrides([f"seed={value}"])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("name: " + "a" * 20_000_000, "262,144"),
        ("".join(f"k{n}: 1\n" for n in range(2000)), ("k0", "k4")),
        (f"name: {'a b' * 20_000}", "name = 'a"),
        (f"'{'k' * 1000}': 1", ()),
        ("1: 2", "1 = 1: "),
    ],
)
def test_too_large_configuration_is_a_short_error(tmp_path: Path, content: str, found: object) -> None:
    (tmp_path / "large.yaml").write_text(content)
    with raises(ConfigError, "large.yaml", found) as caught:
        TrainConfig.read(tmp_path / "large.yaml")
    assert len(str(caught.value)) < 3000


def test_home_folder_in_paths_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = TrainConfig.model_validate(parse_overrides(["root=~/x", "init=~/a.safetensors", "cache=~/c"]))
    assert (config.root, config.cache) == (Path("/home/me/x"), Path("/home/me/c"))
    assert config.init == "/home/me/a.safetensors"


def test_settings_are_frozen() -> None:
    with raises(ValueError, "frozen"):
        Plant().seed = 3


@pytest.mark.parametrize("name", shipped_configs("sensors"))
def test_every_included_sensor_preset_is_valid(name: str) -> None:
    preset = SimulatorConfig.read(name, kind="sensors")
    assert preset.given
    assert SimulatorConfig().with_preset(name) == preset


def test_simulator_page_lists_every_parameter_with_its_default() -> None:
    section = SIMULATOR_PAGE.read_text(encoding="utf-8").split("## ")[1]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\| `?([^|`]*)`? \|", section, re.MULTILINE)
    assert [name for name, _ in rows] == list(SimulatorConfig.model_fields)
    shown = parse_overrides([f"{name}={float(Fraction(text)) if text[0].isdigit() else text}" for name, text in rows])
    assert SimulatorConfig.model_validate(shown) == SimulatorConfig()


def test_setting_of_another_kind_is_an_error() -> None:
    assert Plant(kind="needle", area=2).given == {"kind": "needle", "area": 2.0}
    for check in (lambda: Plant(kind="leaf", length=2), lambda: Plant(length=2).check_kinds({"kind": "leaf"})):
        with raises(ConfigError, "Plant", "length", "kind = twig", "found leaf"):
            check()
    assert Plant(length=2).given == {"length": 2}  # another model may have the kind
    assert list(Plant(kind="twig", length=2).to_record())[:2] == ["kind", "length"]
    assert "area" not in Plant(kind="twig").to_record()


def test_file_is_read_for_another_kind_without_its_settings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "plant.yaml").write_text("area: 3\nseed: 1\n")
    assert Plant.read(tmp_path / "plant.yaml", {"kind": "twig", "length": 2}) == Plant(kind="twig", length=2, seed=1)
    assert "area = 3 is not used, it needs kind = leaf or needle (found twig)" in caplog.text
    with raises(ConfigError, "plant.yaml", "area"):
        Plant.read(tmp_path / "plant.yaml", {"kind": "twig", "area": 2})


def test_part_has_its_settings_alone() -> None:
    part = Plant(rate=0.25, area=2).part(Layers)
    assert (type(part), part, part.given) == (Layers, Layers(rate=0.25), {"rate": 0.25})


def test_differences_have_both_values() -> None:
    before, now = Plant(seed=1), Plant(seed=1, channels=(3,))
    assert find_differences(before.to_record(), now.to_record()) == [("channels", [1, 2], [3])]


def test_repr_lists_what_differs_from_the_defaults() -> None:
    assert repr(BinConfig()) == str(BinConfig()) == "BinConfig()"
    assert repr(TrainConfig(seed=1, epochs=3)) == "TrainConfig(seed=1, epochs=3)"
    assert eval(repr(BinConfig(steps=5, form="binary"))) == BinConfig(steps=5, form="binary")


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"a: [1", "YAML"), (b"\x89HDF\r\n", "text"), (b"", "empty"), (b"- 1", "list")],
)
def test_missing_or_invalid_file_is_reported(tmp_path: Path, content: bytes, found: str) -> None:
    with raises(ConfigError, "gesture"):
        TrainConfig.read("nowhere")
    with raises(ConfigError, tmp_path, "YAML", "gesture"):
        TrainConfig.read(tmp_path)
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with raises(ConfigError, "broken.yaml", found):
        TrainConfig.read(path)
    path.write_text("# all settings have their defaults\n")
    assert TrainConfig.read(path) == TrainConfig()
