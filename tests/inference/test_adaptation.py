"""Adaptation of batch norms to unlabelled recordings."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import dvspipe
from conftest import BAR_CLASSES, moving_bar, write_bars
from facts import mentions, raises

from dvspipe import adapt, train
from dvspipe.base.errors import CheckpointError, ConfigError, DataError, FileError
from dvspipe.checkpoints.checkpoint import (
    read_tensors,
    write_tensors,
)
from dvspipe.encoding import encode
from dvspipe.events import Events, concatenate
from dvspipe.formats import write
from dvspipe.inference import (
    Adaptation,
    Classifier,
    InferConfig,
    Storage,
    classify_many,
    find_finished,
    many,
    plan_tasks,
    record_run,
)
from dvspipe.inference import adaptation as module
from dvspipe.networks import NetworkConfig, find_norms
from dvspipe.results import AdaptationRecord, InferenceRun, OutputFolder, RecordingResult
from dvspipe.training import TrainConfig

EACH = 8  # recordings per class


def repeat(events: Events, times: int = 3) -> Events:
    """Simulate a sensor that reads out each event several times."""
    pixel = np.repeat(np.arange(len(events)), times)
    return Events(events.t[pixel], events.x[pixel], events.y[pixel], events.p[pixel], events.sensor)


def bars(
    labels: Iterator[int] | range | tuple[int, ...] = range(3), first: int = 100, windows: int = 1
) -> list[Events]:
    return [moving_bar(label, first + number, windows) for number in range(EACH) for label in labels]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Network trained to classify the direction of moving bars."""
    root = tmp_path_factory.mktemp("bars")
    config = {
        "steps": 5,
        "step_us": 20000,
        "root": str(write_bars(root / "data")),
        "channels": [6, 6],
        "kernel": 3,
        "tau_mem_s": 0.04,
        "epochs": 6,
        "batch": 8,
        "learning_rate": 0.02,
    }
    return train(TrainConfig.model_validate(config), out=root / "run").checkpoint


@pytest.fixture
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint)


@pytest.fixture(scope="module")
def shifted() -> list[Events]:
    return [repeat(each) for each in bars()]


@pytest.fixture(scope="module")
def full(checkpoint: Path, shifted: list[Events]) -> Adaptation:
    """Adaptation to a sensor that reads out each event several times, at full strength."""
    return adapt(Classifier.load(checkpoint), shifted, strength=1.0)


def statistics(network: torch.nn.Module) -> list[torch.Tensor]:
    return [tensor for norm in find_norms(network) for tensor in (norm.running_mean, norm.running_var)]


def accuracy(classifier: Classifier, recordings: list[Events], labels: list[int]) -> float:
    return float(
        np.mean([classifier.predict(each).label == label for each, label in zip(recordings, labels, strict=True)])
    )


# Adaptation


def test_norms_move_towards_the_statistics_of_the_recordings(
    classifier: Classifier, shifted: list[Events], full: Adaptation
) -> None:
    """Compare the first norm with a computation from the definition."""
    assert full.record.applied > 0.4
    before, after = find_norms(classifier.network)[0], find_norms(full.classifier.network)[0]
    assert before.running_mean is not None
    assert before.running_var is not None
    spikes = torch.from_numpy(np.stack([encode(each, classifier.config.bins) for each in shifted], axis=1))
    convolution = next(layer for layer in classifier.network.modules() if isinstance(layer, torch.nn.Conv2d))
    currents = convolution(spikes.float().flatten(0, 1)).transpose(0, 1).flatten(1).detach()
    share = full.record.applied
    mean = (1 - share) * before.running_mean + share * currents.mean(1)
    variance = (1 - share) * before.running_var + share * currents.var(1)
    torch.testing.assert_close(after.running_mean, mean, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(after.running_var, variance, atol=1e-3, rtol=1e-2)


def test_checkpoint_with_statistics_of_classes_loads(checkpoint: Path, tmp_path: Path) -> None:
    """Checkpoints of dvspipe 0.2 have them."""
    texts, tensors = read_tensors(checkpoint, "a checkpoint")
    write_tensors(tmp_path / "old.safetensors", texts, tensors | {"class_moments.0": torch.zeros(3, 2, 6)})
    assert Classifier.load(tmp_path / "old.safetensors").digest == Classifier.load(checkpoint).digest


def test_training_sensor_causes_small_shifts(classifier: Classifier) -> None:
    recordings = bars()
    adaptation = adapt(classifier, recordings)
    assert all(norm.mean < 0.1 and norm.deviation < 0.1 for norm in adaptation.record.norms)
    changed = np.subtract(adaptation.record.after, adaptation.record.before)
    assert np.abs(changed).sum() <= 2  # one of 24 windows changes its class


@pytest.mark.parametrize("label", range(3))
def test_single_class_causes_small_shift_and_single_prediction_none(classifier: Classifier, label: int) -> None:
    adaptation = adapt(classifier, bars((label,)), strength=1.0)
    assert max(adaptation.record.before) >= EACH - 1
    assert adaptation.record.applied < 0.25
    if max(adaptation.record.before) == EACH:
        assert adaptation.record.applied == 0
        assert all(norm.mean == norm.deviation == 0 for norm in adaptation.record.norms)


@pytest.mark.parametrize(
    ("counts", "share"),
    [((9, 0, 0), 0.0), ((5, 5, 0), 0.5), ((4, 4, 4), 1.0), ((7, 7, 0, 0, 0, 0), 1 / 3), ((1,) * 6, 1.0), ((3, 3), 1.0)],
)
def test_balance_factor_depends_on_effective_number_of_classes(counts: tuple[int, ...], share: float) -> None:
    assert module._balance_factor(torch.tensor(counts).double()) == pytest.approx(share)


def test_adaptation_to_another_sensor_keeps_accuracy(classifier: Classifier, full: Adaptation) -> None:
    test, labels = [repeat(each) for each in bars(first=200)], [0, 1, 2] * EACH
    assert accuracy(full.classifier, test, labels) >= accuracy(classifier, test, labels)
    assert full.record.norms[0].mean > 0.1


def test_strength_scales_shift_and_zero_changes_nothing(
    classifier: Classifier, shifted: list[Events], full: Adaptation
) -> None:
    """Adaptation is deterministic, and does not change its input."""
    digest = classifier.digest
    none, half, again = (adapt(classifier, shifted, strength=strength) for strength in (0.0, 0.5, 1.0))
    for before, after in zip(statistics(classifier.network), statistics(none.classifier.network), strict=True):
        torch.testing.assert_close(before, after)
    assert none.record.norms[0].mean == 0
    assert half.record.norms[0].mean == pytest.approx(full.record.norms[0].mean / 2, rel=0.2)
    assert classifier.digest == digest != again.classifier.digest == full.classifier.digest


def test_adapted_checkpoint_records_adaptation_and_can_be_adapted_again(
    classifier: Classifier, shifted: list[Events], full: Adaptation, tmp_path: Path
) -> None:
    full.save(tmp_path / "new.safetensors")
    loaded = Classifier.load(tmp_path / "new.safetensors")
    assert mentions(loaded.config.trained_on, classifier.config.trained_on, "24 windows", "24 recordings")
    twice = adapt(loaded, shifted, strength=1.0)
    assert twice.record.norms[0].mean < full.record.norms[0].mean
    assert twice.classifier.config.trained_on.count("24 windows") == 2


def test_sample_is_bounded_and_balanced(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WINDOWS", 12)
    recordings = [moving_bar(0, 300, 40), *(moving_bar(label, 300, 5) for label in (1, 2))]
    record = adapt(classifier, recordings).record
    assert (record.recordings, record.windows, record.used) == (3, 50, 12)
    assert record.before == (4, 4, 4)


def test_quiet_windows_are_excluded(classifier: Classifier) -> None:
    busy = moving_bar(0, 400, 6)
    still = Events([busy.t[-1] + 250_000, busy.t[-1] + 650_000], [1, 2], [1, 2], [1, 1], busy.sensor)
    record = adapt(classifier, [busy, concatenate([busy, still], busy.sensor)]).record
    assert record.windows == 12


def test_unusable_recording_is_skipped(classifier: Classifier, tmp_path: Path) -> None:
    adaptation = adapt(classifier, [*bars(), tmp_path / "none.h5"])
    assert adaptation.record.skipped == 1
    assert "none.h5" in str(adaptation.skipped[0])
    assert adaptation.files == (tmp_path / "none.h5",)
    with raises(FileError, "none.h5"):
        adapt(classifier, [str(tmp_path / "none.h5")])


def test_invalid_input_of_adapt_is_an_error(classifier: Classifier) -> None:
    with raises(DataError, "3", "4"):
        adapt(classifier, bars()[:3])
    for strength in (-0.1, 1.1, float("nan")):
        with raises(ConfigError, f"strength = {strength:g}"):
            adapt(classifier, bars(), strength=strength)
    plain = classifier.config.model_copy(update={"network": NetworkConfig(network="mlp", channels=(4,))})
    with raises(CheckpointError, "mlp", "batch"):
        adapt(Classifier(plain, plain.build_network(), "m.safetensors"), bars())


# Many recordings and the command line


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for label, name in enumerate(BAR_CLASSES):
        for number in range(2):
            write(tmp_path / "data" / f"{name}{number}.h5", repeat(moving_bar(label, 500 + number)))
    return tmp_path / "data"


@pytest.mark.slow
def test_classify_many_adapts_to_its_recordings_in_processes(data: Path, checkpoint: Path) -> None:
    classifier, out = Classifier.load(checkpoint), data.parent / "out"
    tasks, calls = plan_tasks([data], out), []
    classify = partial(classify_many, tasks, classifier, adapt=True, out=out, jobs=2)
    outcomes = list(classify(progress=lambda *now: calls.append(now)))
    adapted = adapt(classifier, [task.source for task in tasks]).classifier
    for outcome in outcomes:
        expected = adapted.predict(outcome.item.source)
        assert outcome.result().probabilities == pytest.approx(expected.probabilities, abs=1e-5)
        assert mentions(outcome.result().trained_on, "6 windows", "6 recordings")
    assert calls[-1] == (6, 6)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_stored_predictions_depend_on_adapted_recordings(data: Path, checkpoint: Path) -> None:
    classifier, out = Classifier.load(checkpoint), data.parent / "out"
    tasks = plan_tasks([data], out)
    outcomes = list(classify_many(tasks, classifier, adapt=True, out=out))
    run = record_run(classifier, InferConfig(), tasks)
    assert InferenceRun.read(OutputFolder(out).run) == run
    assert find_finished(tasks, run, Storage(out)) == {each.item: each.result().as_stored() for each in outcomes}
    for adapted, those in ((True, tasks[1:]), (False, tasks)):
        with raises(FileError, "adapted_to"):
            list(classify_many(those, classifier, adapt=adapted, out=out))


def test_adapt_command_writes_checkpoint_and_reports_changes(data: Path, checkpoint: Path) -> None:
    output = dvspipe("adapt", checkpoint, data, "-o", "new.safetensors", cwd=data.parent).stdout
    assert mentions(output, "6 of 6 windows", "6 recordings")
    assert "standard deviations" in output
    record = json.loads(dvspipe("adapt", checkpoint, data, "-o", "b.safetensors", "--json", cwd=data.parent).stdout)
    read = AdaptationRecord.model_validate(record)
    assert (read.used, sum(read.after), read.network) == (6, 6, Classifier.load(checkpoint).digest)
    assert (
        Classifier.load(data.parent / "new.safetensors").digest == Classifier.load(data.parent / "b.safetensors").digest
    )
    output = dvspipe("infer", "new.safetensors", data, cwd=data.parent).stdout
    assert mentions(output, "6 windows")


def test_infer_adapts_and_looks_up_stored_predictions_once(
    data: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = dvspipe("infer", checkpoint, data, "--adapt", "-o", "out", "--pictures=false", cwd=data.parent).stdout
    assert mentions(output, "6 windows", "6 recordings")
    calls = []
    find_finished = many.find_finished
    with monkeypatch.context() as patched:
        patched.setattr(many, "find_finished", lambda *given: calls.append(given) or find_finished(*given))
        again = dvspipe(
            "infer", checkpoint, data, "--adapt", "-o", "out", "--pictures=false", "--json", cwd=data.parent
        )
    assert len(calls) == 1
    assert mentions(again.stderr, "6 of 6")
    assert len([RecordingResult.model_validate_json(line) for line in again.stdout.splitlines()]) == 6


@pytest.mark.parametrize(
    ("arguments", "out", "message"),
    [
        (["data/left0.h5"], "new.safetensors", "1 window"),
        (["data", "--strength", "1.5"], "new.safetensors", "strength = 1.5"),
        (["none"], "new.safetensors", "none"),
        (["data"], "new.txt", ("new.txt", ".txt", ".safetensors")),
    ],
)
def test_adapt_command_reports_errors_in_one_line(
    arguments: list[str], out: str, message: object, data: Path, checkpoint: Path
) -> None:
    done = dvspipe("adapt", checkpoint, *arguments, "-o", out, cwd=data.parent, code=2)
    assert mentions(done.stderr, message)
    assert not (data.parent / out).exists()


def test_adapt_command_replaces_files_only_with_overwrite(data: Path, checkpoint: Path) -> None:
    (data.parent / "new.safetensors").write_text("mine")
    dvspipe("adapt", checkpoint, data, "-o", "new.safetensors", cwd=data.parent, code=2)
    assert (data.parent / "new.safetensors").read_text() == "mine"
    dvspipe("adapt", checkpoint, data, "-o", "new.safetensors", "--overwrite", cwd=data.parent)
    assert Classifier.load(data.parent / "new.safetensors").config.classes == Classifier.load(checkpoint).config.classes


def test_command_and_function_have_the_same_default_strength() -> None:
    assert inspect.signature(adapt).parameters["strength"].default == module.STRENGTH
