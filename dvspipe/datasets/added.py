"""Data sets of the kinds that plug-ins add."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from functools import partial
from typing import Any, get_args

from ..base.errors import ConfigError
from ..hooks import OpenKind, plugins
from ..results.splits import PARTS, Part
from .config import DataKind
from .samples import DataSet, Sample, draw_missing
from .source import DataSource


def open_added(source: DataSource, kind: str, options: Mapping[str, Any]) -> DataSet:
    """Return a data set of a kind that a plug-in adds; a part that it lacks is drawn from its training part.

    Raises:
        ConfigError: If no plug-in has the kind.
    """
    config = source.config
    kinds: Mapping[str, OpenKind] = ChainMap(*plugins().hook.data_kinds())
    if kind not in kinds:
        known = ", ".join(sorted({*get_args(DataKind), *kinds}))
        raise ConfigError(f"data = {kind}: no package that is installed has this kind of data (expected {known})")

    opened = kinds[kind](config.root, config.seed, options)
    parts: dict[Part, list[Sample]] = {part: [] for part in PARTS}
    for one in opened.recordings:
        sample = Sample(one.name, one.label, one.group, load=one.load, version=partial(str, one.version))
        parts[one.part].append(sample)

    data = DataSet(
        opened.title,
        opened.classes,
        opened.sensor,
        synthetic=opened.synthetic,
        synthetic_test=opened.synthetic,
        fixed_test=bool(parts["test"]),
    )
    return data.with_parts(draw_missing(parts, config))
