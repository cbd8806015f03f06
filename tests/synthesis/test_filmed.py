"""Rendered people perform gestures that were filmed once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from facts import raises
from test_tracked import track_of

from dvspipe.base.errors import DataError, FileError, FormatError
from dvspipe.base.gestures import OTHER
from dvspipe.people import Track
from dvspipe.synthesis import (
    FilmedGesture,
    FilmedGestures,
    GestureClip,
    GesturesPlan,
    read_repertoire,
    record_gesture,
    write_gestures,
)
from dvspipe.synthesis.filmed import SETTINGS_NAME, OtherThan, _describe, _Manner
from dvspipe.synthesis.movements import MOVEMENTS
from dvspipe.synthesis.people import draw_person
from dvspipe.synthesis.tracked import MIN_SHOWN, TrackedMovement


def film(folder: Path, name: str, track: Track, **settings: object) -> FilmedGesture:
    """Store a track in a folder, and return the record of a gesture that it shows from 0 to 2 s."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    track.write(folder / name / "film.csv")
    given = {"start_us": 0, "stop_us": 2_000_000, **settings}
    return FilmedGesture.model_validate({"name": name, "film": f"{name}.mp4", "track": f"{name}/film.csv", **given})


def write_study(folder: Path, **settings: object) -> FilmedGestures:
    """Store two gestures: wave is repeated, swipe is performed once."""
    gestures = FilmedGestures(
        gestures=(film(folder, "wave", track_of()), film(folder, "swipe", track_of(0.4), repeat="once")),
        **settings,  # type: ignore[arg-type]
    )
    gestures.write(folder / SETTINGS_NAME)
    return gestures


def test_repertoire_has_the_filmed_gestures_and_other_gestures(tmp_path: Path) -> None:
    write_study(tmp_path)
    repertoire = read_repertoire(tmp_path)
    assert repertoire.classes == (OTHER, "swipe", "wave")
    assert [repertoire.is_once(label) for label in range(3)] == [False, True, False]
    rng = np.random.default_rng(0)
    drawn = repertoire.draw(2, rng)
    assert isinstance(drawn, TrackedMovement)
    assert drawn.repeat == "cycle"
    assert not isinstance(repertoire.draw(0, rng), TrackedMovement)


def test_mirrored_movements_are_added_on_request(tmp_path: Path) -> None:
    write_study(tmp_path, mirror=True)
    assert [each.swap_sides for each in read_repertoire(tmp_path).tracked["wave"]] == [False, True]


def test_films_of_other_gestures_are_performed_as_other_gestures(tmp_path: Path) -> None:
    gestures = write_study(tmp_path)
    (tmp_path / OTHER).mkdir()
    track_of(2.0).write(tmp_path / OTHER / "walk.csv")
    gestures.model_copy(update={"other": (Path(OTHER, "walk.csv"),)}).write(tmp_path / SETTINGS_NAME)
    assert len(read_repertoire(tmp_path).tracked[OTHER]) == 2


def test_other_gestures_do_not_look_like_a_filmed_one() -> None:
    t, person = np.arange(0, 1.5, 0.02), draw_person(np.random.default_rng(0))
    like_waves = OtherThan((_Manner.of(MOVEMENTS["right_hand_wave"]),))
    for seed in range(20):
        motion = like_waves(t, person, np.random.default_rng(seed))
        assert not like_waves.learnt[0].includes(_describe(motion, person, t))
    wave = MOVEMENTS["right_hand_wave"](t, person, np.random.default_rng(0))
    clap = MOVEMENTS["hand_clapping"](t, person, np.random.default_rng(0))
    assert like_waves.learnt[0].includes(_describe(wave, person, t))
    assert not like_waves.learnt[0].includes(_describe(clap, person, t))


def test_gestures_that_a_film_resembles_are_not_performed_as_other_gestures(tmp_path: Path) -> None:
    write_study(tmp_path, alike=("hand_clapping",))
    other = read_repertoire(tmp_path).made[OTHER]
    assert isinstance(other, OtherThan)
    assert "hand_clapping" not in other.ten
    assert "arm_roll" in other.ten


def test_cycle_continues_from_its_start_without_a_jump() -> None:
    movement = replace(TrackedMovement.from_track(track_of(seconds=2.0)), repeat="cycle")
    t, person = np.arange(0, 6, 0.01), draw_person(np.random.default_rng(0))
    wrist = movement(t, person, np.random.default_rng(1)).right.wrist
    assert np.linalg.norm(np.diff(wrist, axis=0), axis=1).max() < 0.03


@pytest.mark.parametrize("seed", range(6))
def test_movement_performed_once_is_mostly_inside_the_clip(seed: int) -> None:
    tracked = TrackedMovement.from_track(track_of(wrist_hz=0.5, seconds=1.0))
    movement, t = replace(tracked, repeat="once"), np.arange(0, 1.5, 0.01)
    person = draw_person(np.random.default_rng(0))
    height = movement(t, person, np.random.default_rng(seed)).right.wrist[:, 1] / person.reach_m
    whole = np.ptp(tracked.arms[:, 0, 1, 1])  # the hand goes up once and returns
    assert np.ptp(height) > 0.7 * MIN_SHOWN * whole


def test_clips_of_filmed_gestures_are_in_the_folders_of_their_classes(tmp_path: Path) -> None:
    write_study(tmp_path / "tracks")
    plan = GesturesPlan(1, 1, duration_us=60_000, tracks=tmp_path / "tracks", other=2)
    assert write_gestures(tmp_path / "clips", plan) == plan.count == 4
    assert {path.parent.name for path in (tmp_path / "clips").glob("*/*.h5")} == {"wave", "swipe", OTHER}
    repertoire = read_repertoire(tmp_path / "tracks")
    with raises(DataError, "label", 3, "0", "2"):
        record_gesture(GestureClip(3, person=0, clip=0, seed=0), repertoire=repertoire)


def test_clips_of_other_parts_are_refused(tmp_path: Path) -> None:
    gestures = write_study(tmp_path / "tracks")
    plan = GesturesPlan(1, 1, duration_us=20_000, tracks=tmp_path / "tracks")
    write_gestures(tmp_path / "clips", plan)
    wave = gestures.gestures[0].model_copy(update={"stop_us": 1_000_000})
    gestures.model_copy(update={"gestures": (wave, *gestures.gestures[1:])}).write(tmp_path / "tracks" / SETTINGS_NAME)
    with raises(DataError, "clips", "tracks"):
        write_gestures(tmp_path / "clips", plan)


def test_short_part_is_a_movement(tmp_path: Path) -> None:
    FilmedGestures(gestures=(film(tmp_path, "flick", track_of(), stop_us=250_000),)).write(tmp_path / SETTINGS_NAME)
    (movement,) = read_repertoire(tmp_path).tracked["flick"]
    assert len(movement.t_s) == 4


def test_wrong_records_of_filmed_gestures_are_errors(tmp_path: Path) -> None:
    write_study(tmp_path)
    (tmp_path / SETTINGS_NAME).write_text("[1]")
    with raises(FormatError, SETTINGS_NAME):
        read_repertoire(tmp_path)
    FilmedGestures(gestures=(film(tmp_path, OTHER, track_of()),)).write(tmp_path / SETTINGS_NAME)
    with raises(DataError, OTHER):
        read_repertoire(tmp_path)
    FilmedGestures(gestures=(film(tmp_path, "late", track_of(), start_us=9_000_000, stop_us=9_900_000),)).write(
        tmp_path / SETTINGS_NAME
    )
    with raises(DataError, "late.mp4", 9, 9.9):
        read_repertoire(tmp_path)
    FilmedGestures(gestures=(film(tmp_path, "gone", track_of()),)).write(tmp_path / SETTINGS_NAME)
    (tmp_path / "gone" / "film.csv").unlink()
    with raises(FileError, "film.csv"):
        read_repertoire(tmp_path)
