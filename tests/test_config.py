from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from dvspipe.config import Settings, build, merge_settings, parse_overrides, read_yaml, shipped_configs
from dvspipe.errors import ConfigError


class Inner(Settings):
    channels: tuple[int, ...] = (1, 2)
    rate: float = Field(default=0.5, gt=0)


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
    with pytest.raises(ConfigError, match="key=value|not readable"):
        parse_overrides([text])


def test_an_override_of_a_value_by_a_group_is_an_error() -> None:
    with pytest.raises(ConfigError, match="already has a value"):
        parse_overrides(["seed=1", "seed.x=2"])


def test_merging_goes_group_by_group() -> None:
    assert merge_settings({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}}) == {"a": {"b": 5, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sed": 1}, "unknown setting sed, did you mean seed?"),
        ({"inner": {"chanels": [1]}}, r"unknown setting inner.chanels, did you mean inner.channels\?"),
        ({"zzz": 1}, "known are seed, inner"),
        ({"inner": {"rate": -1}}, r"inner.rate = -1: Input should be greater than 0"),
        ({"seed": "x"}, "seed = 'x'"),
    ],
)
def test_a_wrong_setting_is_answered_with_the_way_out(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Outer, settings, "test.yaml")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().seed = 3


def test_shipped_configurations_are_found_by_name() -> None:
    assert {"gesture", "nmnist"} <= set(shipped_configs())
    assert read_yaml("nmnist")["name"] == "nmnist"


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration; give a YAML file or one of gesture"):
        read_yaml("nowhere")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        read_yaml(broken)
    broken.write_text("- 1")
    with pytest.raises(ConfigError, match="holds a list, expected keys and values"):
        read_yaml(broken)
    broken.write_text("")
    assert read_yaml(broken) == {}
