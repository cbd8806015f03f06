"""Commands `cut`, `merge` and `filter`: edit recordings, and score filters on recordings with noise labels."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..base.errors import ConfigError, Remedy, count_noun
from ..base.texts import show_name
from ..events.filter_config import FILTERS, FilterConfig
from ..formats import NO_HINTS, STANDARD, Hints
from ..verbs import editing
from .commands import takes
from .options import AsJson, RecordingFiles, Seed
from .screen import as_option, messages, print_parts, progress, screen, warn

if TYPE_CHECKING:
    from ..recordings.editing import Edit, FilteredPart, RecordingPart


@takes(editing.cut)
def cut(recording: Path, out: Path, *, overwrite: bool = False, **given: Any) -> None:
    part = editing.cut.edit(recording, **given)
    count = write_edit(part, out, overwrite=overwrite)
    print_summary(out, f"{count_noun(count, 'event')} of {part.sensor}")

    if not count:
        empty = f"this part of {recording} is empty; show it with dvspipe view {recording}"
        warn(f"{show_name(out)}: has no events: {empty}")


def write_edit(edit: Edit, out: Path, *, overwrite: bool) -> int:
    """Write the result of an edit, and show its progress; return the number of events."""
    with progress() as show:
        return edit.write(out, overwrite=overwrite, progress=partial(show, "events"))


def print_summary(out: Path, text: str) -> None:
    """Print a summary of the output, on standard error if the events go to standard output."""
    (messages if out == STANDARD else screen).print(f"{show_name(out)}: {text}")


@takes(editing.merge, without=("recordings",))
def merge(recordings: RecordingFiles, out: Path, *, overwrite: bool = False, **given: Any) -> None:
    if recordings.count(STANDARD) > 1:
        raise ConfigError("merge: standard input (-) can be given only once")
    merged = editing.merge.edit(recordings, **given)

    count = write_edit(merged, out, overwrite=overwrite)
    of_all = f"{count_noun(count, 'event')} of {count_noun(len(recordings), 'recording')}"
    print_summary(out, f"{of_all}, {merged.sensor}")


@takes(editing.filter)
def filter_(
    recording: Annotated[Path, Parameter(help="Recording, or - for standard input.")],
    out: Path | None = None,
    *,
    config: FilterConfig = FilterConfig(),
    score: Annotated[
        bool, Parameter(help="Score the filters on a recording with noise labels: precision, recall, AUROC.")
    ] = False,
    tune: Annotated[
        bool, Parameter(help="Choose the filters and their settings by the score, and print the scores.")
    ] = False,
    curve: Annotated[
        Path | None, Parameter(help="PNG picture of the curves, with --score or --tune; default: none.")
    ] = None,
    noise_hz: Annotated[
        float | None,
        Parameter(
            help="With --score or --tune: count all events as signal, and mix in noise at this rate per pixel; "
            "default: labels of the recording."
        ),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    overwrite: bool = False,
    sensor: str | None = None,
    hints: Hints = NO_HINTS,
) -> None:
    from ..formats import open_recording
    from ..recordings.editing import FilteredPart, select_part

    # A value of None means that the option was not given; the default of a switch is False.
    scoring = {"--curve": curve, "--noise-hz": noise_hz, "--json": as_json or None}
    _check_options(config, out, [name for name, value in scoring.items() if value is not None], score=score, tune=tune)

    complete = select_part(open_recording(recording, sensor=sensor, hints=hints))

    # The filters to apply are the given ones, or the best ones with --tune.
    if score or tune:
        config = _score(complete, config, curve, noise_hz, seed, tune=tune, as_json=as_json, overwrite=overwrite)

    if out is not None:
        _write(FilteredPart(complete, config), out, overwrite=overwrite)


def _check_options(config: FilterConfig, out: Path | None, of_scores: list[str], *, score: bool, tune: bool) -> None:
    """Check that the options say what to do."""
    if tune and config.active:
        raise ConfigError("filter: --tune chooses the filters; it cannot be combined with a filter")
    if not (config.active or tune):
        ways = (facts.example for facts in FILTERS.values())
        raise ConfigError("filter: no filter given", *ways, Remedy("tune"))

    if of_scores and not (score or tune):
        raise ConfigError(f"filter: {', '.join(of_scores)}: only with --score or --tune")
    if out is None and not (score or tune):
        raise ConfigError("filter: no output; use -o FILE, --score or --tune")

    if out is not None and "--noise-hz" in of_scores:
        raise ConfigError(f"{out}: --noise-hz is only for scores; it cannot be combined with an output file")
    if out is not None and "--json" in of_scores:
        raise ConfigError(f"{out}: --json prints only scores; it cannot be combined with an output file")


def _score(
    part: RecordingPart,
    config: FilterConfig,
    curve: Path | None,
    noise_hz: float | None,
    seed: int,
    *,
    tune: bool,
    as_json: bool,
    overwrite: bool,
) -> FilterConfig:
    """Score filters, print and draw the scores; return the filters that are on."""
    from ..base.files import claim_output, require_suffix
    from ..recordings.scoring import label_events, score_filters, tune_filters

    if curve is not None:
        require_suffix(curve, "a picture", ".png")
        claim_output(curve, overwrite=overwrite)

    with progress() as show:
        labelled = label_events(part, noise_hz=noise_hz, seed=seed, progress=partial(show, "labels"))
        if tune:
            config = tune_filters(labelled, progress=partial(show, "tuning"))
        scores = score_filters(labelled, config, progress=partial(show, "scoring"))

    if curve is not None:
        from ..report.charts import draw_filter_curves

        draw_filter_curves(scores, curve)

    if as_json:
        sys.stdout.write(scores.model_dump_json(indent=1) + "\n")
        return config

    print_parts(*scores.describe())
    if tune:
        _print_choice(config)
    if curve is not None:
        screen.print(f"{show_name(curve)}: curves of the filters")
    return config


def _print_choice(config: FilterConfig) -> None:
    """Print the chosen filters as options."""
    if config.active:
        options = [as_option(replace(FILTERS[name].example, value=value)) for name, value in config.active.items()]
        screen.print(f"chosen: {' '.join(options)}")
    else:
        warn("no filter is better than chance")


def _write(edit: FilteredPart, out: Path, *, overwrite: bool) -> None:
    write_edit(edit, out, overwrite=overwrite)
    hot = "" if edit.hot is None else f"; {count_noun(int(edit.hot.sum()), 'hot pixel')} found"
    print_summary(out, f"{edit.counts}{hot}")
