"""The kinds of data sets, and the settings that each has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import random_events
from facts import raises

from dvspipe.base.errors import ConfigError
from dvspipe.datasets import DataConfig, Sample, count_recordings, open_dataset
from dvspipe.training import TrainConfig


def test_unknown_kind_is_an_error_that_lists_the_others() -> None:
    with raises(ConfigError, "data = zip", "folder", "labelled"):
        open_dataset(DataConfig(data="zip"))


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"data": "folder", "code": "latency"}, ("code", "data = mnist", "found folder")),
        ({"data": "nmnist", "size": "34x34"}, ("size", "folder, labelled or gestures", "found nmnist")),
        ({"data": "mnist", "test_root": "t"}, ("test_root", "found mnist")),
        ({"data": "mnist", "views": 4}, ("views", "found mnist")),
        ({"data": "mnist", "window_us": 9}, ("window_us", "nmnist", "found mnist")),
        ({"data": "nmnist", "dropp": 0.1}, ("dropp",)),
        ({"data": "tonic", "tonic_options": 3}, ("tonic_options = 3", "dictionary")),
    ],
)
def test_a_wrong_setting_of_a_kind_is_explained_in_one_line(settings: dict[str, Any], facts: tuple[str, ...]) -> None:
    with raises(ConfigError, *facts) as raised:
        TrainConfig.model_validate(settings)
    assert "\n" not in str(raised.value)


def test_clips_of_a_recording_are_not_counted_as_recordings() -> None:
    film = Sample("film.mp4", 0, "a", load=lambda: random_events(0, 5), version=str, file=Path("film.mp4"))
    other = replace(film, name="other.mp4", file=Path("other.mp4"))
    assert count_recordings([film, other], "test") == "2 test recordings"
    assert count_recordings([film, replace(film, name="film.mp4, 1 s"), other]) == "3 clips of 2 recordings"
    assert count_recordings([replace(film, file=None)] * 2) == "2 recordings"
