"""Write the cards of the included weights: `python scripts/docs/cards.py`.

A card is generated from the weights and the file NAME.json beside them. Run this script after changing either;
tests/checkpoints/test_shipped.py compares the cards with their sources.
"""

from __future__ import annotations

from collections.abc import Iterable

from dvspipe.base.errors import count_noun, escape_controls
from dvspipe.checkpoints.checkpoint import (
    FEW_CALIBRATED,
    SHIPPED,
    ClassifierConfig,
    load_checkpoint,
    shipped_checkpoints,
)
from dvspipe.results import ShippedRecord, describe_training_data, wilson_interval


def write_shipped_card(name: str) -> str:
    """Write the model card of a shipped classifier as Markdown."""
    config, network = load_checkpoint(name)
    record = ShippedRecord.read(SHIPPED / f"{name}.json")
    parameters = sum(weights.numel() for weights in network.parameters())

    sections = (
        f"# {name}",
        f"{record.about} `dvspipe infer {name} RECORDING`.",
        f"## Data\n\n{_describe_data(config, record)}",
        f"## Sources\n\n{_describe_sources(record)}",
        f"## Scores\n\n{_tabulate_scores(record)}",
        f"## Settings\n\n{_describe_settings(config)} {parameters:,} parameters. {_describe_making(record)}",
        f"## Limits\n\n{_describe_limits(config, record)}",
    )

    return "\n\n".join(sections) + "\n"


def _describe_data(config: ClassifierConfig, record: ShippedRecord) -> str:
    kind = describe_training_data(config.trained_on)
    return f"{record.data} **{kind.capitalize()}.**" if kind else record.data


def _describe_sources(record: ShippedRecord) -> str:
    """Return the table of the sources of the training data and their terms, with citations."""
    lines = ["| source | used for | terms | use in products |", "|---|---|---|---|"]
    for source in record.sources:
        terms = _plain(source.terms) or "none stated"
        allowed = "yes" if source.commercial else "no"
        lines.append(f"| {_plain(source.name)} | {_plain(source.used)} | {terms} | {allowed} |")

    cited = [source.citation for source in record.sources if source.citation]
    if cited:
        lines += ["", "Their owners ask users to cite:", "", _list(cited)]
    return "\n".join(lines)


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(text)}" for text in texts)


def _describe_making(record: ShippedRecord) -> str:
    commands = "\n".join(record.commands)
    return f"Made on {record.date}:\n\n```\n{commands}\n```"


def _tabulate_scores(record: ShippedRecord) -> str:
    lines = ["| tested on | right | 95 % interval |", "|---|---|---|"]
    for score in record.scores:
        low, high = wilson_interval(score.correct, score.samples)
        share = score.correct / score.samples
        lines.append(f"| {score.data} | {share:.1%} ({score.correct} of {score.samples}) | {low:.1%} to {high:.1%} |")
    return "\n".join(lines)


def _describe_settings(config: ClassifierConfig) -> str:
    bins = config.bins
    window = f"{bins.steps} steps of {bins.step_us / 1000:g} ms" if bins.by == "time" else f"{bins.steps} steps"
    text = f"Recordings of {config.sensor} pixels, {window}, a network of kind `{config.network.network}`."
    if config.framing.roi is not None:
        text += f" It sees the region `roi = {config.framing.roi}` of a picture."
    return text


def _describe_limits(config: ClassifierConfig, record: ShippedRecord) -> str:
    limits = ["It knows only its classes and predicts one of them for any recording.", *record.limits]
    if config.calibrated_on is not None and config.calibrated_on < FEW_CALIBRATED:
        calibrated = count_noun(config.calibrated_on, "recording")
        limits.append(f"Its probabilities were calibrated on only {calibrated}, so they are rough.")
    return _list(limits)


def _plain(text: str) -> str:
    """Escape user text as one line without Markdown or HTML markup."""
    return escape_controls(" ".join(text.split())).translate({ord(mark): f"\\{mark}" for mark in "\\`*|<[#"})


if __name__ == "__main__":
    for name in shipped_checkpoints():
        path = SHIPPED / f"{name}.md"
        path.write_text(write_shipped_card(name), encoding="utf-8")
        print(path)
