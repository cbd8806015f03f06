"""Model cards: describe the data, scores, settings and limits of a classifier from its records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from ..base.errors import count_noun, escape_controls
from ..results import ShippedRecord, TestResult, describe_training_data, wilson_interval
from .checkpoint import FEW_CALIBRATED, SHIPPED, ClassifierConfig, load_checkpoint

TAGS = ("dvspipe", "event-camera", "dvs", "neuromorphic", "spiking-neural-network")
TASK = "video-classification"  # the closest task that the hub knows


@dataclass(frozen=True)
class RunRecords:
    """Records of a training run that its card describes."""

    test: TestResult
    settings: Mapping[str, object]


def write_card(
    name: str,
    config: ClassifierConfig,
    records: RunRecords | ShippedRecord | None,
    license: str,  # noqa: A002
) -> str:
    """Write the model card of a classifier as Markdown, with metadata for the Hugging Face hub.

    The card omits the training command and file paths, because they belong to the user's machine.

    Example:
        >>> from dvspipe.checkpoints.checkpoint import load_config
        >>> "license: mit" in write_card("user/digits", load_config("nmnist-synthetic"), None, "mit").splitlines()
        True
    """
    run = records if isinstance(records, RunRecords) else None
    synthetic = bool(describe_training_data(config.trained_on))

    metadata = {
        "library_name": "dvspipe",
        "license": license,
        "pipeline_tag": TASK,
        "tags": [*TAGS, *(["synthetic"] if synthetic else [])],
        **({} if run is None else {"model-index": [_index(name, run.test)]}),
    }

    sections = (
        f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---\n\n# {name.partition('/')[2]}",
        f"A spiking neural network that classifies event-camera (DVS) recordings and videos over time, trained with "
        f"dvspipe. It predicts one of {len(config.classes)} classes: {', '.join(map(_plain, config.classes))}.",
        f'## Use\n\n```python\nimport dvspipe\n\nclassifier = dvspipe.Classifier.load("hf://{name}")\n'
        'print(classifier.predict("recording.h5").class_name)\n```\n\n'
        f"Or `dvspipe infer hf://{name} RECORDING`; `pip install 'dvspipe[hub]'` installs both.",
        f"## Data\n\n{_describe_data(config, records)}",
        f"## Scores\n\n{_describe_scores(records)}",
        f"## Settings\n\n{_describe_settings(config, run)}",
        f"## Limits\n\n{_describe_limits(config, records, synthetic=synthetic)}",
    )

    return "\n\n".join(sections) + "\n"


def write_shipped_card(name: str) -> str:
    """Write the model card of a shipped classifier as Markdown, without metadata.

    Example:
        >>> write_shipped_card("nmnist-synthetic").splitlines()[0]
        '# nmnist-synthetic'
    """
    config, network = load_checkpoint(name)
    record = ShippedRecord.read(SHIPPED / f"{name}.json")
    parameters = sum(weights.numel() for weights in network.parameters())

    sections = (
        f"# {name}",
        f"{record.about} `dvspipe infer {name} RECORDING`.",
        f"## Data\n\n{_describe_data(config, record)}",
        f"## Sources\n\n{_describe_sources(record)}",
        f"## Scores\n\n{_describe_scores(record)}",
        f"## Settings\n\n{_describe_settings(config, None)} {parameters:,} parameters. {_describe_making(record)}",
        f"## Limits\n\n{_describe_limits(config, record, synthetic=True)}",
    )

    return "\n\n".join(sections) + "\n"


def _index(name: str, test: TestResult) -> dict[str, object]:
    """Return the accuracy as the `model-index` metadata of the hub."""
    title = _plain(test.title)
    result = {
        "task": {"type": TASK},
        "dataset": {"type": "synthetic" if test.synthetic_test else "other", "name": title, "split": "test"},
        "metrics": [{"type": "accuracy", "value": round(test.accuracy, 4)}],
    }
    return {"name": name.partition("/")[2], "results": [result]}


def _describe_data(config: ClassifierConfig, records: RunRecords | ShippedRecord | None) -> str:
    if isinstance(records, ShippedRecord):
        lines = [records.data]
    else:
        lines = [f"Trained on {_plain(config.trained_on) or 'unspecified recordings'}."]

    if isinstance(records, RunRecords):
        lines.append(f"Tested on {_plain(records.test.data)}.")

    if kind := describe_training_data(config.trained_on):
        lines.append(f"**{kind.capitalize()}.**")

    if isinstance(records, RunRecords) and records.test.synthetic_test:
        lines.append("**The test data is synthetic.**")

    return " ".join(lines)


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


def _describe_scores(records: RunRecords | ShippedRecord | None) -> str:
    if records is None:
        return "No test of this classifier is recorded."
    if isinstance(records, ShippedRecord):
        return "\n".join(_score_rows(records))

    test = records.test
    low, high = wilson_interval(test.correct, test.samples)
    of = f"{test.correct} of {test.samples}; 95 % interval {low:.1%} to {high:.1%}"

    validated = "no validation part" if test.val_accuracy is None else f"{test.val_accuracy:.1%}"
    lines = [
        "| | |\n|---|---|",
        f"| test accuracy | {test.accuracy:.1%} ({of}) |",
        f"| validation accuracy | {validated}, epoch {test.chosen_epoch} |",
        f"| expected calibration error | {test.calibration_error:.1%} |",
        f"| accuracy by the number of events alone | {test.event_count_accuracy:.1%} |",
    ]

    if test.baseline is not None:
        lines.append(f"| ReLU network on the sum of the steps | {test.baseline.accuracy:.1%} |")

    # Classes without recordings have no accuracy.
    for kind, count, row in zip(test.classes, map(sum, test.confusion), range(len(test.classes)), strict=True):
        if count:
            lines.append(f"| {_plain(kind)} | {test.confusion[row][row] / count:.1%} of {count} |")

    return "\n".join(lines)


def _score_rows(record: ShippedRecord) -> Iterator[str]:
    yield "| tested on | right | 95 % interval |\n|---|---|---|"
    for score in record.scores:
        low, high = wilson_interval(score.correct, score.samples)
        share = score.correct / score.samples
        yield f"| {score.data} | {share:.1%} ({score.correct} of {score.samples}) | {low:.1%} to {high:.1%} |"


def _describe_settings(config: ClassifierConfig, run: RunRecords | None) -> str:
    bins = config.bins
    window = f"{bins.steps} steps of {bins.step_us / 1000:g} ms" if bins.by == "time" else f"{bins.steps} steps"
    text = f"Recordings of {config.sensor} pixels, {window}, a network of kind `{config.network.kind}`."

    if config.framing.roi is not None:
        text += f" It sees the region `roi = {config.framing.roi}` of a picture."
    if config.network.kind == "module":
        text += " Its code is not in this repository and runs only if you trust its package."

    if run is None:
        return text

    listed = yaml.safe_dump(run.settings, sort_keys=False)
    versions = ", ".join(f"{name} {version}" for name, version in run.test.versions.items())

    return f"{text} Settings that differ from the defaults:\n\n```yaml\n{listed}```\n\nVersions: {versions}."


def _describe_limits(config: ClassifierConfig, records: RunRecords | ShippedRecord | None, *, synthetic: bool) -> str:
    limits = ["It knows only its classes and predicts one of them for any recording."]

    # Only a test on real recordings tells the accuracy on them.
    if isinstance(records, ShippedRecord):
        limits += records.limits
    elif synthetic and (records is None or records.test.synthetic_test):
        limits.append("Its accuracy on real recordings is not known.")

    if config.calibrated_on is not None and config.calibrated_on < FEW_CALIBRATED:
        calibrated = count_noun(config.calibrated_on, "recording")
        limits.append(f"Its probabilities were calibrated on only {calibrated}, so they are rough.")

    if isinstance(records, RunRecords):
        limits += [finding.text for finding in records.test.findings] + list(records.test.notes)

    return _list(limits)


def _plain(text: str) -> str:
    """Escape user text as one line without Markdown or HTML markup."""
    return escape_controls(" ".join(text.split())).translate({ord(mark): f"\\{mark}" for mark in "\\`*|<[#"})
