"""KEY=VALUE arguments: parse them into a tree of settings, and format settings as arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from .errors import ConfigError
from .trees import SettingsTree
from .yaml_files import parse_yaml


def parse_overrides(overrides: Sequence[str]) -> SettingsTree:
    """Parse KEY=VALUE arguments into nested settings; values are YAML.

    Args:
        overrides: Arguments such as `network.channels=[12,64]`; dots in keys separate groups.

    Raises:
        ConfigError: If an argument is not of the form KEY=VALUE, or its value is not valid YAML.

    Example:
        >>> parse_overrides(["seed=1", "network.channels=[12,64]"])
        {'seed': 1, 'network': {'channels': [12, 64]}}
    """
    settings: SettingsTree = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{text!r} is not of the form KEY=VALUE, such as seed=1 or data.root=DIR")
        parsed = parse_yaml(value, repr(text))

        group = settings
        *outer, last = key.strip().split(".")
        for name in outer:
            inner = group.setdefault(name, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{text!r}: {name} already has a value")
            group = inner
        group[last] = parsed

    return settings


def write_overrides(settings: Mapping[str, JsonValue]) -> str:
    """Format settings as KEY=VALUE arguments; inverse of `parse_overrides`.

    Args:
        settings: Values by dotted names.

    Example:
        >>> write_overrides({"network.norm": "weight", "network.channels": [12, 64], "network.tau_syn_s": None})
        'network.norm=weight network.channels=[12,64] network.tau_syn_s=null'
    """
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in settings.items()
    }

    return " ".join(f"{key}={text}" for key, text in texts.items())


def show_value(value: JsonValue) -> str:
    """Format a value as in a `KEY=VALUE` argument."""
    return value if isinstance(value, str) else json.dumps(value)
