from __future__ import annotations

import re
from fractions import Fraction
from inspect import isabstract
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest
from facts import raises
from pydantic import Field
from pydantic.fields import FieldInfo

from dvspipe.config import (
    PATTERNS,
    SIZE_PATTERN,
    Settings,
    build,
    configs_folder,
    merge_settings,
    parse_overrides,
    read_yaml,
    shipped_configs,
    suggest_settings,
)
from dvspipe.encoding import BinConfig
from dvspipe.errors import ConfigError
from dvspipe.simulator import SimulatorConfig, read_preset
from dvspipe.training import TrainConfig

SIMULATOR_PAGE = Path(__file__).parents[1] / "docs" / "concepts" / "simulator.md"


class Inner(Settings):
    channels: tuple[Annotated[int, Field(le=10)], ...] = Field(default=(1, 2), min_length=1)
    rate: float = Field(default=0.5, gt=0)
    size: str | None = Field(default=None, pattern=SIZE_PATTERN)
    steps: Literal["off", "auto"] | Annotated[int, Field(ge=2)] = "off"
    shares: dict[str, float] = Field(default_factory=dict)


class Outer(Settings):
    seed: int = 0
    inner: Inner = Inner()


def test_overrides_are_nested_and_typed() -> None:
    assert parse_overrides(["inner.channels=[3,4]", "seed=7", "inner.rate=1e-1"]) == {
        "inner": {"channels": [3, 4], "rate": "1e-1"},  # YAML 1.1 reads it as text; the model as a number
        "seed": 7,
    }
    model = build(Outer, parse_overrides(["inner.channels=[3,4]", "inner.rate=1e-1"]), "test")
    assert model == Outer(inner=Inner(channels=(3, 4), rate=0.1))


@pytest.mark.parametrize("text", ["seed", "=3", "a=1: 2: 3"])
def test_a_malformed_override_is_named(text: str) -> None:
    with raises(ConfigError, text):
        parse_overrides([text])


def test_an_override_of_a_value_by_a_group_is_an_error() -> None:
    with raises(ConfigError, "seed"):
        parse_overrides(["seed=1", "seed.x=2"])


def test_merging_goes_group_by_group() -> None:
    assert merge_settings({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}}) == {"a": {"b": 5, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sed": 1}, ("sed", "seed")),
        ({"inner": {"chanels": [1]}}, ("inner.chanels", "inner.channels")),
        ({"zzz": 1}, ("zzz", "seed", "inner")),
        ({"rate": 1}, ("rate", "inner.rate")),
        ({"inner": {"rate": -1}}, ("inner.rate = -1", "0")),
        ({"inner": {"rate": None}}, "inner.rate = null"),
        ({"inner": {"channels": [1, "x", "y"]}}, "inner.channels[1] = 'x'"),
        ({"inner": {"channels": [9, 99]}}, ("inner.channels[1] = 99", "10")),
        ({"inner": {"channels": []}}, "inner.channels = []"),
        ({"inner": {"size": 346}}, ("inner.size = 346", "WIDTHxHEIGHT", "346x260")),
        ({"inner": {"steps": 1}}, ("inner.steps = 1", "off", "auto")),
        ({"inner": {"shares": {"a": "x"}}}, "inner.shares.a = 'x'"),
        ({"inner": 5}, ("inner = 5", "inner.NAME=VALUE")),
        ({"seed": "x"}, "seed = 'x'"),
        ({"seed": True}, "seed = 'true'"),
    ],
)
def test_a_wrong_setting_is_answered_with_the_way_out(settings: dict[str, Any], message: object) -> None:
    with raises(ConfigError, message):
        build(Outer, settings, "test.yaml")


@pytest.mark.parametrize(
    "model", [model for model in Settings.__subclasses__() if not isabstract(model)], ids=lambda model: model.__name__
)
def test_what_a_text_has_to_match_is_explained(model: type[Settings]) -> None:
    for name, field in model.model_fields.items():
        patterns = {getattr(bound, "pattern", None) for bound in field.metadata} - {None}
        assert patterns <= PATTERNS.keys(), name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("lr", ["optimiser.learning_rate"]),
        ("network.epochs", ["optimiser.epochs"]),
        ("kind", ["data.kind", "network.kind", "optimiser.kind"]),
        ("batch_size", ["optimiser.batch"]),
        ("augment.flip", ["augment.flip_polarity", "augment.flip_horizontal"]),
        ("optimizer", ["optimiser"]),
        ("data.nothing", []),
        ("data.hints.colums", ["data.hints.columns"]),
        ("workers", []),
        ("model", []),
    ],
)
def test_an_unknown_setting_suggests_only_near_ones(name: str, found: list[str]) -> None:
    assert suggest_settings(TrainConfig, name) == found


def test_dates_and_off_are_text() -> None:
    assert parse_overrides(["a=2024-02-30", "b=2024-02-03", "c=off", "d=yes", "e=true", "f=null", "g="]) == {
        "a": "2024-02-30",
        "b": "2024-02-03",
        "c": "off",
        "d": "yes",
        "e": True,
        "f": None,
        "g": None,
    }
    assert build(TrainConfig, parse_overrides(["name=2024-02-30"]), "test").name == "2024-02-30"


@pytest.mark.parametrize(
    "value",
    [
        "!!int x",
        "!!timestamp x",
        "!!bool x",
        "[" * 5000,
        "9" * 5000,
        "&a [*a]",
        "\0",
        '"\\UFFFFFFFF"',
        "0x" + "f" * 5000,
    ],
)
def test_yaml_that_pyyaml_fails_on_is_one_error(value: str) -> None:
    with raises(ConfigError, "YAML"):
        parse_overrides([f"seed={value}"])


def test_aliases_that_multiply_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    (tmp_path / "many.yaml").write_text("\n".join(lines))
    with raises(ConfigError, "many.yaml", "aliases", "line 2") as raised:
        read_yaml(tmp_path / "many.yaml")
    assert "unicode string" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("name: " + "a" * 20_000_000, "262,144"),
        ("".join(f"k{n}: 1\n" for n in range(2000)), ("k9", "1,990")),
        (f"name: {'a b' * 20_000}", "name = 'a"),
        (f"'{'k' * 1000}': 1", ()),
    ],
)
def test_a_configuration_that_is_much_too_large_is_a_short_error(tmp_path: Path, content: str, found: object) -> None:
    (tmp_path / "large.yaml").write_text(content)
    with raises(ConfigError, "large.yaml", found) as caught:
        build(TrainConfig, read_yaml(tmp_path / "large.yaml"), "large.yaml")
    assert len(str(caught.value)) < 3000


def test_a_path_in_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = build(TrainConfig, parse_overrides(["data.root=~/x", "init=~/a.safetensors", "data.cache=~/c"]), "test")
    assert (config.data.root, config.data.cache) == (Path("/home/me/x"), Path("/home/me/c"))
    assert config.init == "/home/me/a.safetensors"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().seed = 3


def test_shipped_configurations_are_found_by_name() -> None:
    assert {"gesture", "nmnist"} <= set(shipped_configs())
    assert read_yaml("nmnist")["name"] == "nmnist"


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with raises(ConfigError, "gesture"):
        read_yaml("nowhere")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with raises(ConfigError, "YAML"):
        read_yaml(broken)
    broken.write_text("- 1")
    with raises(ConfigError, "broken.yaml", "list"):
        read_yaml(broken)
    broken.write_text("")
    assert read_yaml(broken) == {}


@pytest.mark.parametrize("name", shipped_configs("sensors"))
def test_every_shipped_sensor_builds(name: str) -> None:
    preset = read_preset(name)
    assert preset
    assert build(SimulatorConfig, preset, name).model_dump(include=set(preset)) == preset


@pytest.mark.parametrize("name", ["dvs128", "gen4"])
def test_every_value_of_a_sensor_names_its_source_or_says_assumed(name: str) -> None:
    text = (configs_folder() / "sensors" / f"{name}.yaml").read_text(encoding="utf-8")
    for line in text.splitlines():
        assert re.match(r"#|\w+: [\d.]+ +# .*(\(.*\d{4}.*\)|data sheet|assumed)", line), line


def range_of(field: FieldInfo) -> str:
    """The range of a setting, as docs/concepts/simulator.md writes it."""
    if choices := get_args(field.annotation):
        return ", ".join(f"`{choice}`" if isinstance(choice, str) else str(choice) for choice in choices)
    bounds = {type(bound).__name__: getattr(bound, type(bound).__name__.lower()) for bound in field.metadata}
    if "Lt" in bounds:
        return f"{bounds['Ge']} to 2^{bounds['Lt'].bit_length() - 1} - 1"
    if "Le" not in bounds:
        return f"{bounds['Ge']} or more"
    return f"above {bounds['Gt']}, to {bounds['Le']}" if "Gt" in bounds else f"{bounds['Ge']} to {bounds['Le']}"


def test_the_page_on_the_simulator_has_every_parameter_with_its_range_and_default() -> None:
    section = SIMULATOR_PAGE.read_text(encoding="utf-8").split("## ")[1]
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\| ([^|]*) \| ([^|]*) \|", section, re.MULTILINE)
    assert [name for name, *_ in rows] == list(SimulatorConfig.model_fields)
    for name, _, stated_range, stated_default in rows:
        field = SimulatorConfig.model_fields[name]
        assert stated_range == range_of(field), name
        default = stated_default.strip("`")
        assert (default if isinstance(field.default, str) else float(Fraction(default))) == field.default, name


def test_the_page_on_the_simulator_names_every_preset() -> None:
    section = SIMULATOR_PAGE.read_text(encoding="utf-8").split("## Presets")[1].split("## ")[0]
    assert all(f"`{name}`" in section for name in shipped_configs("sensors"))


def test_settings_that_are_made_directly_raise_the_same_errors() -> None:
    with raises(ConfigError, "BinConfig", "step_us = 0"):
        BinConfig(step_us=0)
    with raises(ConfigError, "stepp_us", "step_us"):
        BinConfig(stepp_us=1)  # type: ignore[call-arg]
    with raises(ConfigError, "x", "bins.steps = 0", "seed = 'a'"):
        build(TrainConfig, {"bins": {"steps": 0}, "seed": "a"}, "x")  # those inside others are collected
