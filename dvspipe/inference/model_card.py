"""The model card of a classifier, from the records of its run: data, scores, settings, and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from ..checkpoint import FEW_CALIBRATED, ClassifierConfig, find_checkpoint
from ..config import build, read_yaml
from ..errors import count_noun, escape_controls
from ..results import RunFolder, TestResult, wilson_interval

if TYPE_CHECKING:
    from ..training import TrainConfig

TAGS = ("dvspipe", "event-camera", "dvs", "neuromorphic", "spiking-neural-network")
TASK = "video-classification"  # the hub's name for what is closest
SHOWN = {"seed", "bins", "network", "augment", "optimiser", "stdp"}  # settings without paths of the user's machine


@dataclass(frozen=True)
class RunRecords:
    """What a card says of a training run.

    Args:
        test: The test of the chosen epoch.
        config: The resolved configuration.
    """

    test: TestResult
    config: TrainConfig


def find_run(checkpoint: str | None) -> RunRecords | None:
    """Return the records of the run whose best checkpoint this is; None if it is none.

    Raises:
        FileError: The records are not those of this version.
        ConfigError: Neither is the configuration.
    """
    if checkpoint is None:
        return None
    path = find_checkpoint(checkpoint)
    folder = RunFolder(path.resolve().parent.parent)  # of RUN/weights/best.safetensors
    if path.resolve() != folder.best or not folder.test.is_file():
        return None
    from ..training import TrainConfig

    config = build(TrainConfig, read_yaml(folder.config), str(folder.config))
    return RunRecords(TestResult.read(folder.test), config)


def write_card(name: str, config: ClassifierConfig, run: RunRecords | None, license: str) -> str:  # noqa: A002
    """Return the model card of a classifier, Markdown with the metadata of the Hugging Face hub.

    It has neither the command nor paths, which are those of the user's machine.

    Args:
        name: USER/NAME on the hub.
        config: What the classifier is.
        run: The records of its training; None if they are not there.
        license: Licence of the weights as the hub names it.

    Example:
        >>> from dvspipe.checkpoint import load_config
        >>> "license: mit" in write_card("user/digits", load_config("nmnist-synthetic"), None, "mit").splitlines()
        True
    """
    synthetic = config.trained_on.startswith("synthetic ") if run is None else run.test.synthetic
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
        f"dvspipe: one of {len(config.classes)} classes, {', '.join(map(_plain, config.classes))}.",
        f"## Use\n\n```python\nimport dvspipe\n\nclassifier = dvspipe.Classifier.load(\"hf://{name}\")\n"
        'print(classifier.predict("recording.h5").class_name)\n```\n\n'
        f"Or `dvspipe infer hf://{name} RECORDING`; `pip install 'dvspipe[hub]'` installs both.",
        f"## Data\n\n{_describe_data(config, run, synthetic=synthetic)}",
        f"## Scores\n\n{_describe_scores(run)}",
        f"## Settings\n\n{_describe_settings(config, run)}",
        f"## Limits\n\n{_describe_limits(config, run, synthetic=synthetic)}",
    )  # fmt: skip
    return "\n\n".join(sections) + "\n"


def _index(name: str, test: TestResult) -> dict[str, object]:
    """Return the accuracy as the hub shows it beside a model."""
    title = _plain(test.title)
    result = {
        "task": {"type": TASK},
        "dataset": {"type": "synthetic" if test.synthetic_test else "other", "name": title, "split": "test"},
        "metrics": [{"type": "accuracy", "value": round(test.accuracy, 4)}],
    }
    return {"name": name.partition("/")[2], "results": [result]}


def _describe_data(config: ClassifierConfig, run: RunRecords | None, *, synthetic: bool) -> str:
    lines = [f"Trained on {_plain(config.trained_on) or 'recordings that are not described'}."]
    if run is not None:
        lines.append(f"Tested on {_plain(run.test.data)}.")
    if synthetic:
        lines.append("**The training data is synthetic.**")
    if run is not None and run.test.synthetic_test:
        lines.append("**The test data is synthetic.**")
    return " ".join(lines)


def _describe_scores(run: RunRecords | None) -> str:
    if run is None:
        return "No test of this classifier is recorded."
    test = run.test
    low, high = wilson_interval(test.correct, test.samples)
    of = f"{test.correct} of {test.samples}; 95 % interval {low:.1%} to {high:.1%}"
    lines = [
        "| | |\n|---|---|",
        f"| test accuracy | {test.accuracy:.1%} ({of}) |",
        f"| validation accuracy | {test.val_accuracy:.1%}, epoch {test.chosen_epoch} |",
        f"| expected calibration error | {test.calibration_error:.1%} |",
        f"| accuracy by the number of events alone | {test.event_count_accuracy:.1%} |",
    ]
    if test.baseline is not None:
        lines.append(f"| ReLU network on the sum of the steps | {test.baseline.accuracy:.1%} |")
    for kind, count, row in zip(test.classes, map(sum, test.confusion), range(len(test.classes)), strict=True):
        if count:
            lines.append(f"| {_plain(kind)} | {test.confusion[row][row] / count:.1%} of {count} |")
    return "\n".join(lines)


def _describe_settings(config: ClassifierConfig, run: RunRecords | None) -> str:
    bins = config.bins
    window = f"{bins.steps} steps of {bins.step_us / 1000:g} ms" if bins.by == "time" else f"{bins.steps} steps"
    text = f"Recordings of {config.sensor} pixels, {window}, a network of kind `{config.network.kind}`."
    if config.network.kind == "module":
        text += " Its code is not part of this repository, and runs only if you trust its package."
    if run is None:
        return text
    changed = run.config.model_dump(mode="json", include=SHOWN, exclude_defaults=True)
    listed = yaml.safe_dump(changed, sort_keys=False)
    versions = ", ".join(f"{name} {version}" for name, version in run.test.versions.items())
    return f"{text} What differs from the defaults of dvspipe:\n\n```yaml\n{listed}```\n\nVersions: {versions}."


def _describe_limits(config: ClassifierConfig, run: RunRecords | None, *, synthetic: bool) -> str:
    limits = ["It knows its classes only, and predicts one of them for any recording."]
    if synthetic and (run is None or run.test.synthetic_test):
        limits.append("How well it does on real recordings is not known.")
    if config.calibrated_on is not None and config.calibrated_on < FEW_CALIBRATED:
        calibrated = count_noun(config.calibrated_on, "recording")
        limits.append(f"Its probabilities were calibrated on only {calibrated} and are rough.")
    if run is not None:
        limits += [finding.text for finding in run.test.findings] + list(run.test.notes)
    return "\n".join(f"- {_plain(limit)}" for limit in limits)


def _plain(text: str) -> str:
    """Return a text of the user in one line that is no markup."""
    return escape_controls(" ".join(text.split())).translate({ord(mark): f"\\{mark}" for mark in "\\`*|<[#"})
