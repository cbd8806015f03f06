"""Random numbers of movements: their distributions are data, in movements.yaml, which describes the notation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import ConfigError, join_names
from ..base.yaml_files import parse_yaml
from .motion import draw_phase, draw_size
from .people import Floats, Person

FILE = Path(__file__).with_name("movements.yaml")

FORMS = ({"one_of"}, {"sd", "mean"}, {"period_s"}, {"size"}, {"chance", "then", "else"})
"""Keys of the forms of a distribution."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Draw:
    """Random numbers of one performance of a movement.

    Args:
        values: Distributions of the movement by name.
        t: Increasing times in seconds, [T].
        person: Performer.
        rng: Random generator.
    """

    values: Values
    t: Floats
    person: Person
    rng: np.random.Generator

    def __call__(self, name: str) -> Any:
        """Draw a value."""
        return self._draw(self.values[name])

    def _draw(self, value: Any) -> Any:
        match value:
            case [low, high]:
                return self.rng.uniform(low, high)
            case [_, _, _]:
                return np.array(value, float)
            case {"one_of": values}:
                return self.rng.choice(values)
            case {"sd": sd}:
                return self.rng.normal(value.get("mean", 0), sd)
            case {"period_s": [fastest_s, slowest_s]}:
                return draw_phase(self.t, self.person, self.rng, fastest_s, slowest_s)
            case {"size": [low, high]}:
                return draw_size(self.t, self.person, self.rng, low, high)
            case {"chance": chance}:
                is_true = self.rng.random() < chance
                return self._draw(value.get("then", True) if is_true else value.get("else", False))
        return value

    def of(self, movement: str) -> Draw:
        """Draw values of another movement."""
        return replace(self, values=read_movements()[movement])

    def pick(self) -> str:
        """Draw one of the kinds of the movement."""
        kinds: Mapping[str, Values] = self.values["kinds"]
        shares = [kind["share"] for kind in kinds.values() if "share" in kind]
        return list(kinds)[self.rng.choice(len(kinds), p=shares or None)]

    def like(self, kind: str) -> Draw:
        """Draw values of a kind of the movement."""
        return replace(self, values={**self.values, **self.values["kinds"][kind]})


@cache
def read_movements() -> Mapping[str, Values]:
    """Read the distributions of all movements.

    Raises:
        ConfigError: If the file is not YAML, or a value is wrong; the message names it.
    """
    movements: Mapping[str, Values] = parse_yaml(FILE.read_text(encoding="utf-8"), str(FILE))
    for name, values in movements.items():
        kinds = values.get("kinds", {})
        shares = [kind["share"] for kind in kinds.values() if "share" in kind]
        if shares and (len(shares) < len(kinds) or abs(sum(shares) - 1) > 1e-9):
            raise ConfigError(
                f"{FILE}: {name}: wrong shares (found {shares}, expected one of each kind, and a sum of 1)"
            )

        for where, changed in {name: values, **{f"{name}: {kind}": changed for kind, changed in kinds.items()}}.items():
            _check_values(where, changed, [*values, "share"])
    return movements


def _check_values(where: str, values: Values, names: Sequence[str]) -> None:
    """Check that values have a known name, and a form that `Draw` knows."""
    for name, value in values.items():
        if name not in names:
            raise ConfigError(f"{FILE}: {where}: unknown value (found {name}, expected {join_names(names)})")

        is_list = isinstance(value, list)
        is_form = isinstance(value, dict) and name != "kinds"
        if (is_list and len(value) not in (2, 3)) or (is_form and not any(value.keys() <= form for form in FORMS)):
            raise ConfigError(f"{FILE}: {where}: {name}: unknown form (found {value}, expected one of its first lines)")
