"""Curves of noise filters: share of signal over share of noise that they keep."""

from __future__ import annotations

from pathlib import Path

from ..results import FilterScore, FilterScores
from .style import ACCENT, GREEN, INK, ORANGE, PALE, SMALL, grid_axes, new_figure, save_figure

FILTER_COLOURS = {"hot_pixels": ORANGE, "refractory": GREEN, "activity": ACCENT, "all": INK}
FILTER_NAMES = {
    "hot_pixels": "hot pixels",
    "refractory": "refractory period",
    "activity": "background activity",
    "all": "together",
}


def draw_filter_curves(scores: FilterScores, path: Path) -> None:
    """Draw the curve of each filter, and a dot for each filter that is on, as a PNG file.

    Args:
        scores: Scores of a recording.
        path: PNG file to write.

    Raises:
        FileError: If the file cannot be written.
    """
    figure = new_figure(5.2, 4.6, scores.recording)
    axes = figure.subplots()
    grid_axes(axes, "Signal kept in %")
    axes.plot([0, 100], [0, 100], color=PALE, linewidth=1, linestyle="--")
    for score in scores.filters:
        points = sorted((point.kept.noise, point.kept.signal) for point in score.curve)
        ends = [(0, 0), *points, (score.total.noise, score.total.signal)]
        axes.plot(
            [100 * noise / score.total.noise for noise, _ in ends],
            [100 * signal / score.total.signal for _, signal in ends],
            color=FILTER_COLOURS[score.filter],
            label=f"{FILTER_NAMES[score.filter]}, AUROC {score.auroc:.3f}",
            linewidth=1.6,
        )
    on = [score for score in scores.filters if score.setting is not None]
    for score in [*on, scores.together] if len(on) > 1 else on:
        label, place = "together" if score.filter == "all" else None, (100 * score.noise_kept, 100 * score.recall)
        axes.plot(*place, "o", color=FILTER_COLOURS[score.filter], label=label)
        axes.annotate(describe_setting(score), place, (5, -10), textcoords="offset points", **SMALL)
    axes.set_xlabel("Noise kept in %", **SMALL)
    axes.set(xlim=(-2, 102), ylim=(-2, 104))
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    save_figure(figure, path)


def describe_setting(score: FilterScore) -> str:
    """Return the setting of a filter with its unit; `off` without a setting."""
    if score.filter == "all":
        return ""
    if score.setting is None:
        return "off"
    return f"factor {score.setting:g}" if score.filter == "hot_pixels" else f"{score.setting / 1000:g} ms"
