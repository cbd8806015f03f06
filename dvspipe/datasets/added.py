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
from .samples import DataSet, Sample
from .source import DataSource


def open_added(source: DataSource, options: Mapping[str, Any] = {}) -> DataSet:
    """Return a data set of a kind that a plug-in adds; see `LabelledRecordings`.

    Raises:
        ConfigError: If no plug-in has the kind.
    """
    kind = source.config.data
    kinds: Mapping[str, OpenKind] = ChainMap(*plugins().hook.data_kinds())
    if kind not in kinds:
        known = ", ".join(sorted({*get_args(DataKind), *kinds}))
        raise ConfigError(f"data = {kind}: no package that is installed has this kind of data (expected {known})")

    opened = kinds[kind](source.config.root, source.config.seed, options)
    parts: dict[Part, list[Sample]] = {part: [] for part in PARTS}
    for one in opened.recordings:
        parts[one.part].append(Sample(one.name, one.label, one.group, one.load, partial(str, one.version)))

    is_synthetic = opened.synthetic
    data = DataSet(opened.title, opened.classes, opened.sensor, synthetic=is_synthetic, synthetic_test=is_synthetic)
    return data.with_parts(parts)
