"""Data sets: which kinds there are, what one holds, and what is wrong with it."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from ..config import SettingsTree, build, count_noun
from ..errors import ConfigError
from .options import AsJson, Config, Overrides, read_config
from .screen import EXIT_SOME_FAILED, fail, make_table, messages, progress, screen, show_name

if TYPE_CHECKING:
    from ..datasets.survey import Survey

data = typer.Typer(help="List kinds of data sets; show and check what one holds.", no_args_is_help=True)

KINDS = (
    ("nmnist", "N-MNIST: 60,000 + 10,000 digits, 34x34", "ROOT/Train/<digit>/*.bin, ROOT/Test; complete or partial"),
    ("dvsgesture", "DVS128 Gesture: 11 gestures, 29 people, 128x128", "IBM's aedat and label files, or Tonic's clips"),
    ("gestures", "rendered gestures (synthetic), or recordings of the same classes", "nothing, or ROOT/<class>"),
    ("mnist", "MNIST: 60,000 + 10,000 images, 28x28", "ROOT/train-images-idx3-ubyte, ...; also .gz"),
    ("tonic", "labelled data sets of Tonic, data.name=NCALTECH101", "ROOT/<name>, as Tonic unpacks it (docs/data.md)"),
    ("folder", "your recordings or videos", "ROOT/<class>/<recording>, or ROOT/train/<class> and ROOT/test/<class>"),
    ("labelled", "your recordings with label files", "NAME.SUFFIX with NAME_labels.csv: class,start_us,end_us"),
)  # fmt: skip
"""Kinds, what they are, and which files they expect."""


@data.command("list")
def list_() -> None:
    """List the kinds of data sets, the files that they expect, and the size of the cache."""
    from ..datasets import Cache, default_cache

    table = make_table("data.kind", "what", "files")
    for row in KINDS:
        table.add_row(*row)
    screen.print(table)
    files, size = Cache(default_cache()).size()
    screen.print(f"\n{default_cache()} caches {files:,} spike tensors and simulated videos, {size / 1e6:,.0f} MB")


@data.command("stats")
def stats(config: Config, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Show how many recordings, people and events a data set has, class by class."""
    found = _survey(config, settings)
    if as_json:
        _print_json(found)
        return
    screen.print(f"{found.title}{' (synthetic)' if found.synthetic else ''}, sensor {found.sensor}")
    headings = ("class", "train", "val", "test", "groups", "events", "fewest", "most", "s", "events/s", "ON")
    table = make_table(*headings, right=headings[1:], wraps=False)
    for row in found.figures:
        table.add_row(
            row.name, *(str(count) for count in (row.train, row.validation, row.test, row.groups)),
            *(_number(value, form) for value, form in (
                (row.events, ",.0f"), (row.fewest, ",d"), (row.most, ",d"), (row.duration_s, ".2f"),
                (row.rate_hz, ",.0f"), (row.on_fraction, ".1%"),
            )),
        )  # fmt: skip
    screen.print(table)
    if found.problems:
        messages.print(f"problems: {len(found.problems)}; dvspipe data check lists them")


@data.command("check")
def check(config: Config, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Load every recording of a data set and list what is wrong; exit code 1 if something is."""
    found = _survey(config, settings)
    if as_json:
        _print_json(found)
    for problem in () if as_json else found.problems:
        screen.print(Text(show_name(problem)))
    total = found.figures[-1]
    recordings = total.train + total.validation + total.test
    if found.problems:
        fail(f"{found.title}: problems: {len(found.problems)}, recordings: {recordings}", EXIT_SOME_FAILED)
    if not as_json:
        groups = count_noun(total.groups, "group")
        screen.print(f"{found.title}: {count_noun(recordings, 'recording')} of {groups}, nothing wrong")


def _survey(config: str, settings: list[str] | None) -> Survey:
    from ..datasets import DataConfig, open_dataset
    from ..datasets.survey import survey
    from ..encoding import BinConfig

    merged = read_config(config, settings)
    seed = merged.get("seed", 0)
    if not isinstance(seed, int):
        raise ConfigError(f"{config}: seed = {seed!r}, expected a whole number")
    bins = build(BinConfig, _group(merged, "bins"), config)
    opened = open_dataset(build(DataConfig, _group(merged, "data"), config), seed, bins, with_problems=True)
    with progress() as show:
        return survey(opened, partial(show, "recordings"))


def _group(settings: SettingsTree, name: str) -> SettingsTree:
    found = settings.get(name, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{name} = {found!r}, expected settings {name}.KEY=VALUE")
    return found


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _print_json(found: Survey) -> None:
    sys.stdout.write(found.model_dump_json(indent=1) + "\n")
