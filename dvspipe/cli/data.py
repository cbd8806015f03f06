"""Data sets: what there is, what one holds, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from .screen import EXIT_SOME_FAILED, fail, messages, progress, screen

data = typer.Typer(help="Data sets: what there is, what one holds, what is wrong with it.", no_args_is_help=True)

Config = Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped one (nmnist, gesture).")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as data.root=DIR.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print all of it as an object.")]

KNOWN = (
    ("nmnist", "N-MNIST: 60,000 + 10,000 digits, 34x34", "ROOT/Train/<digit>/*.bin, ROOT/Test; complete or in part"),
    ("dvsgesture", "DVS128 Gesture: 11 gestures, 29 people, 128x128", "IBM's aedat and label files, or Tonic's clips"),
    ("gestures", "rendered gestures (synthetic), or recordings of the same classes", "nothing, or ROOT/<class>"),
    ("folder", "your recordings or videos", "ROOT/<class>/<recording>, or ROOT/train/<class> and ROOT/test/<class>"),
    ("labelled", "your recordings with label files", "NAME.SUFFIX with NAME_labels.csv: class,start_us,end_us"),
)  # fmt: skip
"""Kinds, what they are, and what lies where."""


@data.command("list")
def list_() -> None:
    """Show the kinds of data sets, what they expect where, and what is kept on disk."""
    from ..datasets import Cache, default_cache

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("data.kind", "what", "what lies where"):
        table.add_column(heading, overflow="fold")
    for row in KNOWN:
        table.add_row(*row)
    screen.print(table)
    files, size = Cache(default_cache()).size()
    screen.print(f"\n{default_cache()} keeps {files:,} spike tensors and simulated videos, {size / 1e6:,.0f} MB")


@data.command("stats")
def stats(config: Config, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Show how many recordings, people and events a data set has, class by class."""
    found = _survey(config, settings)
    if as_json:
        _print_json(found)
        return
    screen.print(f"{found.title}{' (synthetic)' if found.synthetic else ''}, sensor {found.sensor}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (
        "class",
        "train",
        "val",
        "test",
        "groups",
        "events",
        "fewest",
        "most",
        "s",
        "events/s",
        "ON",
    ):
        table.add_column(heading, justify="left" if heading == "class" else "right")
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
        messages.print(f"problems: {len(found.problems)}; dvspipe data check names them")


@data.command("check")
def check(config: Config, settings: Overrides = None, as_json: AsJson = False) -> None:
    """Load every recording of a data set and name what is wrong; exit code 1 when something is."""
    found = _survey(config, settings)
    if as_json:
        _print_json(found)
    for problem in () if as_json else found.problems:
        screen.print(Text(problem))
    total = found.figures[-1]
    recordings = total.train + total.validation + total.test
    if found.problems:
        fail(f"{found.title}: problems: {len(found.problems)}, recordings: {recordings}", EXIT_SOME_FAILED)
    if not as_json:
        screen.print(f"{found.title}: {recordings} recordings of {total.groups} groups, nothing wrong")


def _survey(config: str, settings: list[str] | None) -> Any:
    from functools import partial

    from ..config import build, merge_settings, parse_overrides, read_yaml
    from ..datasets import DataConfig, open_dataset
    from ..datasets.survey import survey
    from ..encoding import BinConfig

    merged = merge_settings(read_yaml(config), parse_overrides(settings or []))
    bins = build(BinConfig, merged.get("bins", {}), config)
    opened = open_dataset(build(DataConfig, merged.get("data", {}), config), int(merged.get("seed", 0)), bins)
    with progress() as show:
        return survey(opened, partial(show, "recordings"))


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _print_json(found: Any) -> None:
    sys.stdout.write(json.dumps(found.to_record(), indent=1, allow_nan=False) + "\n")
