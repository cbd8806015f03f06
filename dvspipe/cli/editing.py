"""Commands `cut`, `merge` and `filter`: edit recordings, and score filters on recordings with noise labels."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..base.errors import ConfigError, count_noun
from ..events.filter_config import FilterConfig
from ..formats import NO_HINTS, STANDARD, Hints
from ..verbs import editing
from .commands import takes
from .options import AsJson, Overwrite, RecordingFiles, Seed
from .screen import TextTable, messages, progress, screen, show_name, warn

if TYPE_CHECKING:
    from ..recordings.editing import Edit, FilteredPart, RecordingPart
    from ..recordings.scoring import FilterSetup, LabelledEvents
    from ..results import FilterScore, FilterScores

OutputFile = Annotated[
    Path, Parameter(help="Output file (its suffix selects the format), or - for CSV on standard output.")
]


@takes(editing.cut)
def cut(recording: Path, out: OutputFile, *, overwrite: Overwrite = False, **given: Any) -> None:
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
def merge(recordings: RecordingFiles, out: OutputFile, *, overwrite: Overwrite = False, **given: Any) -> None:
    if recordings.count(STANDARD) > 1:
        raise ConfigError("merge: standard input (-) can be given only once")
    merged = editing.merge.edit(recordings, **given)

    count = write_edit(merged, out, overwrite=overwrite)
    of_all = f"{count_noun(count, 'event')} of {count_noun(len(recordings), 'recording')}"
    print_summary(out, f"{of_all}, {merged.sensor}")


@takes(editing.filter)
def filter_(
    recording: Annotated[Path, Parameter(help="Recording, or - for standard input.")],
    out: Annotated[
        Path | None,
        Parameter(
            help="Output file (its suffix selects the format), or - for CSV on standard output; optional with --score "
            "or --tune."
        ),
    ] = None,
    *,
    config: FilterConfig | None = None,
    hot_pixels: bool = False,
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
    overwrite: Overwrite = False,
    sensor: str | None = None,
    hints: Hints = NO_HINTS,
) -> None:
    from ..formats import open_recording
    from ..recordings.editing import FilteredPart, select_part
    from ..recordings.scoring import FilterSetup

    setup = FilterSetup(config or FilterConfig(), hot_pixels)

    # A value of None means that the option was not given; the default of a switch is False.
    scoring = {"--curve": curve, "--noise-hz": noise_hz, "--json": as_json or None}
    _check_options(setup, out, [name for name, value in scoring.items() if value is not None], score=score, tune=tune)

    complete = select_part(open_recording(recording, sensor=sensor, hints=hints))

    # The filters to apply are the given ones, or the best ones with --tune.
    if score or tune:
        setup = _score(complete, setup, curve, noise_hz, seed, tune=tune, as_json=as_json, overwrite=overwrite)

    if out is not None:
        _write(FilteredPart(complete, setup.config, hot_pixels=setup.hot_pixels), out, overwrite=overwrite)


def _check_options(setup: FilterSetup, out: Path | None, of_scores: list[str], *, score: bool, tune: bool) -> None:
    """Check that the options say what to do."""
    is_off = setup == type(setup)()

    if tune and not is_off:
        raise ConfigError("filter: --tune chooses the filters; it cannot be combined with a filter")
    if is_off and not tune:
        raise ConfigError("filter: no filter given; use --refractory-us, --activity-us, --hot-pixels or --tune")

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
    setup: FilterSetup,
    curve: Path | None,
    noise_hz: float | None,
    seed: int,
    *,
    tune: bool,
    as_json: bool,
    overwrite: bool,
) -> FilterSetup:
    """Score filters, print and draw the scores; return the filters that are on."""
    from ..base.files import claim_output, require_suffix
    from ..recordings.scoring import label_events, score_filters, tune_filters

    if curve is not None:
        require_suffix(curve, "a picture", ".png")
        claim_output(curve, overwrite=overwrite)

    with progress() as show:
        labelled = label_events(part, noise_hz=noise_hz, seed=seed, progress=partial(show, "labels"))
        if tune:
            setup = tune_filters(labelled, progress=partial(show, "tuning"))
        scores = score_filters(labelled, setup, progress=partial(show, "scoring"))

    if curve is not None:
        from ..report.charts import draw_filter_curves

        draw_filter_curves(scores, curve)

    if as_json:
        sys.stdout.write(scores.model_dump_json(indent=1) + "\n")
        return setup

    _print_scores(labelled, scores)
    if tune:
        _print_choice(setup)
    if curve is not None:
        screen.print(f"{show_name(curve)}: curves of the filters")
    return setup


def _print_scores(labelled: LabelledEvents, scores: FilterScores) -> None:
    from ..report.charts import FILTER_NAMES, describe_setting

    total = labelled.total
    events = total.signal + total.noise
    screen.print(f"{show_name(labelled.name)}: {events:,} events, {total.noise:,} of them noise")

    headings = ("precision", "recall", "noise kept", "events kept", "AUROC")
    table = TextTable("filter", "setting", *headings, right=headings)
    for row in (*scores.filters, scores.together):
        auroc = "" if row.auroc is None else f"{row.auroc:.3f}"
        table.add_row(FILTER_NAMES[row.filter], describe_setting(row), *_describe_kept(row), auroc)
    screen.print(table)


def _describe_kept(score: FilterScore) -> tuple[str, str, str, str]:
    if score.setting is None and score.filter != "all":
        return "", "", "", ""

    precision = "" if score.precision is None else f"{score.precision:.1%}"
    events = score.kept.signal + score.kept.noise
    return precision, f"{score.recall:.1%}", f"{score.noise_kept:.1%}", f"{events:,}"


def _print_choice(setup: FilterSetup) -> None:
    """Print the chosen filters as options."""
    options = ["--hot-pixels"] if setup.hot_pixels else []
    # A filter that is off has no period.
    for name, period_us in setup.config:
        options += [f"--{name.replace('_', '-')} {period_us}"] if period_us is not None else []

    if options:
        screen.print(f"chosen: {' '.join(options)}")
    else:
        warn("no filter is better than chance")


def _write(edit: FilteredPart, out: Path, *, overwrite: bool) -> None:
    write_edit(edit, out, overwrite=overwrite)

    total = edit.counts
    pixels = "" if edit.hot is None else f" ({int(edit.hot.sum())} pixels)"
    print_summary(
        out,
        f"{total.kept:,} of {total.events:,} events; dropped {total.hot_pixels:,} of hot pixels{pixels}, "
        f"{total.refractory:,} in the refractory period, {total.background:,} as background activity",
    )
