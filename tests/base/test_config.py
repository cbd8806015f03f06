from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest
from facts import raises
from pydantic import Field
from pydantic.fields import FieldInfo

from dvspipe.base.config import Settings, as_settings, build, complete_repr, name_settings
from dvspipe.base.errors import ConfigError, DvspipeError
from dvspipe.base.overrides import parse_overrides
from dvspipe.base.patterns import SIZE_PATTERN
from dvspipe.base.trees import merge_settings
from dvspipe.base.yaml_files import configs_folder, read_yaml, shipped_configs
from dvspipe.encoding import BinConfig
from dvspipe.simulator import SimulatorConfig, read_preset
from dvspipe.training import TrainConfig

SIMULATOR_PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "simulator.md"


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
        "inner": {"channels": [3, 4], "rate": "1e-1"},  # a string in YAML 1.1; the model converts it to a number
        "seed": 7,
    }
    model = build(Outer, parse_overrides(["inner.channels=[3,4]", "inner.rate=1e-1"]), "test")
    assert model == Outer(inner=Inner(channels=(3, 4), rate=0.1))


@pytest.mark.parametrize("text", ["seed", "=3", "a=1: 2: 3"])
def test_malformed_override_is_reported(text: str) -> None:
    with raises(ConfigError, text):
        parse_overrides([text])


def test_overriding_a_value_by_a_group_is_rejected() -> None:
    with raises(ConfigError, "seed"):
        parse_overrides(["seed=1", "seed.x=2"])


def test_settings_are_merged_per_group() -> None:
    assert merge_settings({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 5}}) == {"a": {"b": 5, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sed": 1}, "sed = 1"),
        ({"zzz": 1, "seed": "x"}, ("zzz = 1", "seed = 'x'")),
        ({"inner": {"chanels": [1]}}, "chanels = [1]"),
        ({"inner": {"rate": -1}}, ("rate = -1", "0")),
        ({"inner": {"rate": None}}, "rate = None"),
        ({"inner": {"channels": [1, "x", "y"]}}, ("channels = 'x'", "channels = 'y'")),
        ({"inner": {"channels": [9, 99]}}, ("channels = 99", "10")),
        ({"inner": {"channels": []}}, "channels = []"),
        ({"inner": {"size": 346}}, ("size = 346", SIZE_PATTERN)),
        ({"inner": {"steps": 1}}, ("steps = 1", "off", "auto")),
        ({"inner": {"shares": {"a": "x"}}}, "shares = 'x'"),
        ({"inner": 5}, "Inner"),
        ({"seed": "x"}, "seed = 'x'"),
        ({"seed": True}, "seed = 'true'"),
        ({str(number): number for number in range(9)}, "4 = 4"),
    ],
)
def test_error_lists_wrong_settings_in_one_line(settings: dict[str, Any], message: object) -> None:
    for call in (lambda: build(Outer, settings, "test.yaml"), lambda: Outer(**settings)):
        with raises(ConfigError, message) as caught:
            call()
        assert not {"\n", "5 = 5"} & {*str(caught.value)}
    with raises(ConfigError, "test.yaml"):
        build(Outer, settings, "test.yaml")


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
    ],
)
def test_yaml_that_crashes_pyyaml_is_one_error(value: str) -> None:
    with raises(ConfigError, "YAML"):
        parse_overrides([f"seed={value}"])


def test_exponential_yaml_aliases_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    (tmp_path / "many.yaml").write_text("\n".join(lines))
    with raises(ConfigError, "many.yaml", "aliases", "line 2") as raised:
        read_yaml(tmp_path / "many.yaml")
    assert "unicode string" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("name: " + "a" * 20_000_000, "262,144"),
        ("".join(f"k{n}: 1\n" for n in range(2000)), ("k0", "k4")),
        (f"name: {'a b' * 20_000}", "name = 'a"),
        (f"'{'k' * 1000}': 1", ()),
    ],
)
def test_too_large_configuration_is_a_short_error(tmp_path: Path, content: str, found: object) -> None:
    (tmp_path / "large.yaml").write_text(content)
    with raises(DvspipeError, "large.yaml", found) as caught:
        build(TrainConfig, read_yaml(tmp_path / "large.yaml"), "large.yaml")
    assert len(str(caught.value)) < 3000


def test_home_folder_in_paths_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = build(TrainConfig, parse_overrides(["data.root=~/x", "init=~/a.safetensors", "data.cache=~/c"]), "test")
    assert (config.data.root, config.data.cache) == (Path("/home/me/x"), Path("/home/me/c"))
    assert config.init == "/home/me/a.safetensors"


def test_settings_are_frozen() -> None:
    with raises(ValueError, "frozen"):
        Outer().seed = 3


def test_included_configurations_are_found_by_name() -> None:
    assert {"gesture", "nmnist"} <= set(shipped_configs())
    assert read_yaml("nmnist")["name"] == "nmnist"


def test_missing_or_invalid_file_is_reported(tmp_path: Path) -> None:
    with raises(ConfigError, "gesture"):
        read_yaml("nowhere")
    with raises(ConfigError, tmp_path, "folder", "YAML", "gesture"):
        read_yaml(tmp_path)
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with raises(ConfigError, "YAML"):
        read_yaml(broken)
    broken.write_bytes(b"\x89HDF\r\n")
    with raises(ConfigError, "broken.yaml", "folder", "YAML"):
        read_yaml(broken)
    broken.write_text("- 1")
    with raises(ConfigError, "broken.yaml", "list"):
        read_yaml(broken)
    broken.write_text("# all settings have their defaults\n")
    assert read_yaml(broken) == {}


@pytest.mark.parametrize("name", shipped_configs("sensors"))
def test_every_included_sensor_preset_is_valid(name: str) -> None:
    preset = read_preset(name)
    assert preset
    assert build(SimulatorConfig, preset, name).model_dump(include=set(preset)) == preset


@pytest.mark.parametrize("name", ["dvs128", "gen4"])
def test_every_preset_value_has_a_source_or_is_marked_assumed(name: str) -> None:
    text = (configs_folder() / "sensors" / f"{name}.yaml").read_text(encoding="utf-8")
    for line in text.splitlines():
        assert re.match(r"#|\w+: [\d.x]+ +# .*(\(.*\d{4}.*\)|data sheet|assumed)", line), line


def range_of(field: FieldInfo) -> str:
    """Range of a setting in the notation of docs/concepts/simulator.md."""
    if field.annotation is str:
        return "`keep`, WxH"
    choices = get_args(field.annotation)
    if choices and type(None) not in choices:
        return ", ".join(f"`{choice}`" if isinstance(choice, str) else str(choice) for choice in choices)
    bounds = {type(bound).__name__: getattr(bound, type(bound).__name__.lower()) for bound in field.metadata}
    if "Lt" in bounds:
        return f"{bounds['Ge']} to 2^{bounds['Lt'].bit_length() - 1} - 1"
    if "Le" not in bounds:
        return f"{bounds['Ge']} or more"
    return f"above {bounds['Gt']}, to {bounds['Le']}" if "Gt" in bounds else f"{bounds['Ge']} to {bounds['Le']}"


def test_simulator_page_lists_every_parameter_with_range_and_default() -> None:
    section = SIMULATOR_PAGE.read_text(encoding="utf-8").split("## ")[1]
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\| ([^|]*) \| ([^|]*) \|", section, re.MULTILINE)
    assert [name for name, *_ in rows] == list(SimulatorConfig.model_fields)
    for name, _, stated_range, stated_default in rows:
        field = SimulatorConfig.model_fields[name]
        assert stated_range == range_of(field), name
        default = stated_default.strip("`")
        if field.default is None:
            assert default == "null", name
        else:
            assert (default if isinstance(field.default, str) else float(Fraction(default))) == field.default, name


def test_simulator_page_lists_every_preset() -> None:
    section = SIMULATOR_PAGE.read_text(encoding="utf-8").split("## Presets")[1].split("## ")[0]
    assert all(f"`{name}`" in section for name in shipped_configs("sensors"))


def test_direct_construction_raises_the_same_errors() -> None:
    with raises(ConfigError, "BinConfig", "step_us = 0"):
        BinConfig(step_us=0)
    with raises(ConfigError, "stepp_us"):
        BinConfig(stepp_us=1)  # type: ignore[call-arg]
    with raises(ConfigError, "x", "BinConfig", "steps = 0"):
        build(TrainConfig, {"bins": {"steps": 0}}, "x")


class Leaf(Settings):
    kind: Literal["leaf"] = "leaf"
    area: float = 1.0
    seed: int = 0


class Twig(Settings):
    kind: Literal["twig"] = "twig"
    length: float = 1.0


class Tree(Settings):
    seed: int = 0
    inner: Inner = Inner()
    part: Annotated[Leaf | Twig, Field(discriminator="kind")] = Leaf()


def grow(tree: Tree | dict[str, object] | None = None, *, overwrite: bool = False, **named: object) -> Tree:
    return as_settings(Tree, tree, named, grow) if not overwrite else Tree()


def test_names_a_mapping_and_a_model_give_equal_settings() -> None:
    expected = Tree(seed=3, inner=Inner(rate=0.25), part=Twig(length=2.0))
    ways = (
        grow(expected),
        grow({"seed": 3, "inner": {"rate": 0.25}, "part": {"kind": "twig", "length": 2.0}}),
        grow({"seed": 3, "rate": 0.25, "part.kind": "twig", "length": 2.0}),
        grow(seed=3, rate=0.25, part=Twig(length=2.0)),
        grow(seed=3, inner={"rate": 0.25}, part={"kind": "twig"}, length=2.0),
    )
    assert ways == (expected,) * 5


def test_names_take_precedence_and_keep_other_given_settings() -> None:
    given = Tree(seed=3, inner=Inner(channels=(4,), rate=0.25), part=Twig(length=2.0))
    changed = grow(given, rate=0.75)
    assert changed == Tree(seed=3, inner=Inner(channels=(4,), rate=0.75), part=Twig(length=2.0))
    assert changed.model_fields_set == {"seed", "inner", "part"}
    assert changed.inner.model_fields_set == {"channels", "rate"}
    assert grow(given, length=3).part == Twig(length=3.0)
    assert grow(given, part={"kind": "leaf"}).part == Leaf()


def test_own_setting_has_precedence_over_one_of_a_group() -> None:
    assert name_settings(Tree, {"seed": 1, "part.seed": 2}) == {"seed": 1, "part": {"seed": 2}}


@pytest.mark.parametrize(
    ("call", "facts"),
    [
        (lambda: grow(rat=0.5, overwrites=True), ("grow", "rat", "overwrites")),
        (lambda: grow(area=1, part={"kind": "twig"}), ("Twig", "area = 1")),
        (lambda: grow(rate=-1), ("rate = -1",)),
        (lambda: grow(5), ("Tree", 5)),  # type: ignore[arg-type]
        (lambda: grow([]), ("Tree", "[]")),  # type: ignore[arg-type]
        (lambda: as_settings(TrainConfig, None, {"kind": "mlp"}), ("data.kind", "network.kind", "optimiser.kind")),
        (lambda: as_settings(TrainConfig, {"epoch": 3}), ("epoch = 3",)),
    ],
)
def test_wrong_name_or_type_is_one_line(call: Any, facts: tuple[object, ...]) -> None:
    with raises(ConfigError, *facts) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_repr_lists_what_differs_from_the_defaults() -> None:
    assert repr(BinConfig()) == str(BinConfig()) == "BinConfig()"
    assert repr(TrainConfig(seed=1, optimiser={"epochs": 3})) == (  # type: ignore[arg-type]
        "TrainConfig(seed=1, optimiser=OptimiserConfig(epochs=3))"
    )
    assert eval(repr(BinConfig(steps=5, form="binary"))) == BinConfig(steps=5, form="binary")


def test_complete_repr_lists_all_settings() -> None:
    """Caches store digests of it, so it must not change."""
    assert complete_repr((BinConfig(steps=5),)) == (
        "(BinConfig(steps=5, by='time', step_us=15000, step_events=1000, downsample=1, form='count', clip=4, "
        "polarity='separate', tau_us=50000.0),)"
    )


def test_unknown_preset_names_the_known_ones() -> None:
    with raises(ConfigError, "DAVIS346", "davis346"):
        read_preset("DAVIS346")
