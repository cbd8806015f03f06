"""The kinds of data sets, and the settings that each has."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from conftest import random_events
from facts import raises

from dvspipe.base.config import build
from dvspipe.base.errors import ConfigError, DataError
from dvspipe.base.groups import find_kinds
from dvspipe.datasets import (
    OPENERS,
    DataConfig,
    DataKind,
    FolderConfig,
    MnistConfig,
    RecordingsConfig,
    Sample,
    count_recordings,
    open_dataset,
    parse_data,
)
from dvspipe.formats import write
from dvspipe.training import TrainConfig


def test_every_kind_has_a_model_and_a_function_that_opens_it() -> None:
    assert set(find_kinds(DataConfig)) == set(OPENERS) == set(get_args(DataKind))


def test_a_data_set_without_kind_is_a_folder() -> None:
    assert parse_data({"root": "r"}) == FolderConfig(root=Path("r"))
    assert build(TrainConfig, {}, "test").data == FolderConfig()


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"code": "latency"}, ("FolderConfig", "code = 'latency'")),
        ({"kind": "nmnist", "size": "34x34"}, ("NmnistConfig", "size = '34x34'")),
        ({"kind": "mnist", "test_root": "t"}, ("test_root = 't'",)),
        ({"kind": "mnist", "views": 4}, ("views = 4",)),
        ({"kind": "mnist", "window_us": 9}, ("window_us = 9",)),
        ({"kind": "zip"}, ("'zip'", "'folder', 'labelled'")),
        ({"kind": "nmnist", "vary": {"dropp": 0.1}}, ("dropp = 0.1",)),
        ({"kind": "tonic", "options": 3}, ("options = 3", "dictionary")),
    ],
)
def test_a_wrong_setting_of_a_kind_is_explained_in_one_line(settings: dict[str, Any], facts: tuple[str, ...]) -> None:
    with raises(ConfigError, *facts) as raised:
        build(TrainConfig, {"data": settings}, "mine.yaml")
    message = str(raised.value)
    assert message.startswith("mine.yaml: ")
    assert "\n" not in message


def test_a_given_kind_leaves_out_what_it_does_not_have(caplog: pytest.LogCaptureFixture) -> None:
    config = TrainConfig.read("gesture", {"data.kind": "mnist", "data.root": "made"})
    assert config.data == MnistConfig(root=Path("made"))
    (line,) = caplog.messages
    assert re.search(r"data.kind = mnist: .*data.group.*gesture", line)


def test_a_given_setting_of_another_kind_is_an_error() -> None:
    with pytest.raises(ConfigError, match="MnistConfig: group = 'a'"):
        TrainConfig.read("gesture", {"data.kind": "mnist", "data.group": "a"})


def test_shares_are_those_that_a_kind_has() -> None:
    shares = {"validation": 0.0, "test": 0.0}
    divided, images = FolderConfig().with_shares(shares), MnistConfig().with_shares(shares)
    assert isinstance(divided, RecordingsConfig)
    assert (divided.validation, divided.test, images.validation) == (0.0, 0.0, 0.0)
    assert images == MnistConfig(validation=0.0)


def test_name_without_group_shows_a_regular_expression(tmp_path: Path) -> None:
    for name in ("a/ann_0.npz", "b/ann_0.npz"):
        (tmp_path / name).parent.mkdir()
        write(tmp_path / name, random_events(0, 50))
    with raises(DataError, "ann_0.npz", "regular expression", "name"):
        open_dataset(FolderConfig(root=tmp_path, group="name"), seed=0)


def test_clips_of_a_recording_are_not_counted_as_recordings() -> None:
    film = Sample("film.mp4", 0, "a", load=lambda: random_events(0, 5), version=str, file=Path("film.mp4"))
    other = replace(film, name="other.mp4", file=Path("other.mp4"))
    assert count_recordings([film, other], "test") == "2 test recordings"
    assert count_recordings([film, replace(film, name="film.mp4, 1 s"), other]) == "3 clips of 2 recordings"
    assert count_recordings([replace(film, file=None)] * 2) == "2 recordings"
