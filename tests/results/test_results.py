"""Records of runs and predictions: derived values, and round trips through files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from records import RUN, SEGMENTS, make_prediction

from dvspipe.base.errors import FileError, FormatError
from dvspipe.results import (
    Dependencies,
    EvaluationResult,
    OutputFolder,
    Prediction,
    RecordingFolder,
    RecordingPrediction,
    Scores,
    SegmentRow,
    Share,
    TimeScores,
    WindowRow,
    add_scores,
    read_rows,
    wilson_interval,
    write_rows,
)

NEEDED = Dependencies(source="/data/a.h5", bytes=100, mtime_ns=1, run=RUN.digest, labels=None, pictures=False)
SCORES = TimeScores(
    confusion=((5, 1), (0, 2)),
    segments_found=2,
    segments=3,
    labels=2,
    delays_us=(200, None),
)
WINDOW = make_prediction().to_windows()[0].model_copy(update={"probability": 1 / 3})


def answer(folder: str = "a.h5", **update: Any) -> Prediction:
    kept = {"scores": SCORES, "depends_on": NEEDED, "t_first_us": 5, "t_last_us": 1_500_005}
    return make_prediction(folder, **kept | update).as_stored()


def store(folder: RecordingFolder, stored: Prediction) -> None:
    folder.write_rows((WINDOW,), SEGMENTS)
    stored.write(folder.answer)


# Files


def test_prediction_survives_a_round_trip(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path / "a.h5")
    store(folder, answer())
    assert folder.find() == answer()
    assert read_rows(folder.windows, WindowRow) == (WINDOW,)
    written = json.loads(folder.answer.read_text())
    assert (written["class"], written["duration_s"], written["labels"][0]["class"]) == ("drums", 1.5, "drums")
    assert written["layers"][0]["operations"] == 12_000 * 250


def test_csv_has_columns_in_order_and_empty_cells_for_none(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path)
    folder.write_rows((WINDOW,), SEGMENTS)
    rows = list(csv.reader((tmp_path / "segments.csv").read_text().splitlines()))
    assert (rows[0], rows[2]) == ([*SegmentRow.columns], ["1000000", "1500000", "", "uncertain", "0.8"])
    assert "0.333333333" in (tmp_path / "windows.csv").read_text().splitlines()[1].split(",")
    write_rows([], WindowRow, tmp_path / "none.jsonl")
    assert (tmp_path / "none.csv").read_text().splitlines() == [",".join(WindowRow.columns)]
    assert read_rows(tmp_path / "none.jsonl", WindowRow) == ()


def test_invalid_file_is_an_error_with_its_location(tmp_path: Path) -> None:
    (tmp_path / "segments.jsonl").write_text(f'{SEGMENTS[0].model_dump_json()}\n{{"t_start_us": "soon"}}\n')
    with raises(FormatError, "segments.jsonl", "line 2", "t_start_us"):
        read_rows(tmp_path / "segments.jsonl", SegmentRow)


# Current predictions


@pytest.mark.parametrize(
    ("update", "current"),
    [
        ({}, True),
        ({"pictures": True}, False),
        ({"bytes": 99}, False),
        ({"mtime_ns": 2}, False),
        ({"run": "1"}, False),
        ({"labels": "1"}, False),
    ],
)
def test_prediction_is_current_if_its_dependencies_are_unchanged(
    update: dict[str, Any], current: bool, tmp_path: Path
) -> None:
    folder = RecordingFolder(tmp_path)
    store(folder, answer())
    assert folder.find_current(NEEDED.model_copy(update=update)) == (answer() if current else None)


def test_prediction_without_files_or_dependencies_is_incomplete(tmp_path: Path) -> None:
    folder = RecordingFolder(tmp_path)
    assert folder.find_current(NEEDED) is None
    store(folder, answer(depends_on=None))
    assert folder.find() is None
    store(folder, answer())
    folder.windows.unlink()
    assert folder.find() is None


# Output folders


def test_output_folder_accepts_predictions_of_one_run(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    folder.check(RUN)
    folder.write_run(RUN)
    folder.check(RUN.model_copy(update={"checkpoint": "moved.safetensors", "versions": {}}))
    other = RUN.model_copy(update={"settings": {"hop_us": 100_000, "segments": {"enter": 0.7, "leave": 0.35}}})
    assert other.digest != RUN.digest
    with raises(FileError, "enter", "0.5", "0.7", "overwrite"):
        folder.check(other)
    with raises(FileError, "best.safetensors", "0" * 12, "1" * 12):
        folder.check(RUN.model_copy(update={"network": "1" * 64}))
    folder.run.write_text("[]")
    with raises(FileError, "run.json", "overwrite"):
        folder.check(RUN)


def test_times_of_a_video_count_from_its_start() -> None:
    found = answer("a", t_first_us=1_000_000, t_last_us=8_000_000, t_start_us=2_000_000, t_end_us=4_500_000)
    assert found.answer == "drums, 1.0 to 3.5 s"
    film = found.model_copy(update={"video": True})
    assert film.answer == "drums, 2.0 to 4.5 s"
    assert (film.t_zero_us, film.shown_s) == (0, 8.0)


def test_predictions_of_other_runs_are_not_found(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    for name, run in (("b.h5", RUN.digest), ("deep/a.h5", RUN.digest), ("other.h5", "1")):
        store(folder.of(name), answer(name, depends_on=NEEDED.model_copy(update={"run": run})))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "answer.json").write_text("{}")
    found = folder.find_predictions(RUN)
    assert [each.folder for each in found] == ["b.h5", "deep/a.h5"]
    assert found[0].segments == SEGMENTS
    folder.write_predictions(found)
    stored = read_rows(folder.predictions, Prediction)
    assert stored == tuple(each.model_copy(update={"segments": ()}) for each in found)
    (row, _) = csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines())
    assert (row["class"], row["t_start_us"], row["segment_count"]) == ("drums", "", "3")


# Scores


def test_scores_over_time_derive_from_counts() -> None:
    assert (SCORES.answers, SCORES.accuracy, SCORES.segment_f1) == (8, 7 / 8, 4 / 5)
    assert (SCORES.labels_answered, SCORES.median_delay_us) == (1, 200)
    nothing = TimeScores(confusion=((0, 0), (0, 0)), segments_found=0, segments=0, labels=0, delays_us=())
    assert nothing.accuracy is nothing.segment_f1 is nothing.median_delay_us is None


def test_sum_of_scores_adds_their_counts(tmp_path: Path) -> None:
    assert add_scores([]) is add_scores([None]) is None
    total = add_scores([SCORES, None, SCORES])
    assert total is not None
    assert (total.answers, total.labels, total.delays_us) == (16, 4, (200, None, 200, None))
    assert (total.accuracy, total.segment_f1) == (SCORES.accuracy, SCORES.segment_f1)
    total.write(tmp_path / "scores.json")
    assert TimeScores.read(tmp_path / "scores.json") == total


def test_sample_scores_require_a_square_confusion_matrix() -> None:
    scores = Scores(classes=("a", "b"), confusion=((3, 1), (0, 4)), calibration_error=0.1, temperature=1.0)
    assert (scores.samples, scores.correct, scores.accuracy) == (8, 7, 7 / 8)
    with raises(ValidationError, "2"):
        Scores(classes=("a", "b"), confusion=((3, 1),), calibration_error=0.1, temperature=1.0)


@given(samples=st.integers(1, 2000), data=st.data())
def test_wilson_interval_bounds_solve_the_five_percent_test(samples: int, data: st.DataObject) -> None:
    correct = data.draw(st.one_of(st.integers(0, samples), st.sampled_from([0, samples])))
    share = correct / samples
    low, high = wilson_interval(correct, samples)
    assert 0 <= low <= share <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        assert abs(share - end) == pytest.approx(1.959963984540054 * (end * (1 - end) / samples) ** 0.5, rel=1e-9)


def evaluation(*predictions: RecordingPrediction) -> EvaluationResult:
    return EvaluationResult(
        classes=("clap", "wave"),
        confusion=((1, 1), (0, 5)),
        calibration_error=0,
        temperature=1,
        data="7 recordings",
        synthetic=False,
        trained_on="others",
        predictions=predictions,
    )


def test_recordings_are_classified_by_the_mean_of_their_clips() -> None:
    """A long film is many clips, but one recording."""
    clips = [("a", "clap", (0.4, 0.6)), ("a", "clap", (0.9, 0.1))] + [("b", "wave", (0.7, 0.3))] * 5
    predictions = [
        RecordingPrediction(name=f"{k}", label=label, predicted="clap", probabilities=shares, recording=recording)
        for k, (recording, label, shares) in enumerate(clips)
    ]
    result = evaluation(*predictions)
    assert result.classify_recordings() == Share(correct=1, samples=2)
    low, high = wilson_interval(1, 2)
    assert mentions(str(result.describe()[-1]), "1 of 2", f"{low:.1%} to {high:.1%}")

    # Samples of unknown recordings, and several gestures of one film, are not clips.
    for recording in (None, "film"):
        others = [prediction.model_copy(update={"recording": recording}) for prediction in predictions]
        assert evaluation(*others).classify_recordings() is None


def test_predictions_are_written_as_a_table(tmp_path: Path) -> None:
    prediction = RecordingPrediction(name="a,b", label="clap", predicted="wave", probabilities=(0.25, 0.75))
    evaluation(prediction).write_table(tmp_path / "a.csv")
    rows = list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))
    assert rows == [["name", "label", "predicted", "p_clap", "p_wave"], ["a,b", "clap", "wave", "0.25", "0.75"]]
