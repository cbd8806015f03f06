"""Included configurations and sensor presets."""

from __future__ import annotations

from pathlib import Path

from ..base.errors import ConfigError
from ..base.files import claim_output, write_text
from ..base.texts import Described, TextTable
from ..base.yaml_files import configs_folder, read_text, shipped_configs

USES = {"": "dvspipe train {}", "sensors": "dvspipe convert VIDEO -o EVENTS.h5 --preset {}"}
"""How to use each kind of configuration."""


class ConfigList(Described):
    """Included configurations."""

    def describe(self) -> list[str | TextTable]:
        """Return the names of each kind, with the comment in their first lines."""
        parts: list[str | TextTable] = []
        for kind, use in USES.items():
            table = TextTable()
            for name in shipped_configs(kind):
                first = read_text(configs_folder() / kind / f"{name}.yaml").partition("\n")[0]
                table.add_row(f"  {name}", first.removeprefix("#").strip() if first.startswith("#") else "")
            parts += [use.format("NAME"), table]
        return parts

    def to_record(self) -> dict[str, list[str]]:
        """Return the names by kind."""
        return {kind or "experiments": shipped_configs(kind) for kind in USES}


def configs(name: str | None = None, out: Path | None = None, *, overwrite: bool = False) -> ConfigList | str:
    """List included experiments and sensor presets, or show one as YAML.

    Args:
        name: Name of an experiment or a sensor preset. Default: all are listed.
        out: YAML file to write, for editing. Default: the configuration is printed.
        overwrite: Replace an existing file.
    """
    if name is None:
        if out is not None:
            raise ConfigError(f"out = {out}: no name of a configuration to write (see dvspipe configs)")
        return ConfigList()

    kind = _find_kind(name)
    included = configs_folder() / kind / f"{name}.yaml"
    text = read_text(included if included.is_file() else name, kind=kind)
    if out is None:
        return text.rstrip()

    claim_output(out, overwrite=overwrite)
    write_text(out, text.replace(f"name: {name}\n", f"name: {out.stem}\n"))  # the name is the default run folder
    return f"{out}: copy of {name}; use it with {USES[kind].format(out)}"


def _find_kind(name: str) -> str:
    return next((kind for kind in USES if name in shipped_configs(kind)), "")
