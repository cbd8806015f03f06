"""Flat settings of a conversion."""

from __future__ import annotations

from facts import raises

from dvspipe.base.errors import ConfigError
from dvspipe.formats import Hints
from dvspipe.recordings.config import ConversionSettings, ConvertConfig, RecordingConfig
from dvspipe.simulator import SimulatorConfig
from dvspipe.video.config import VideoSettings


def test_names_of_video_and_simulator_settings_are_unique() -> None:
    own = {"upsample", "compression", "sort", "salvage"}
    groups = [own, set(VideoSettings.model_fields), set(SimulatorConfig.model_fields)]
    assert set().union(*groups) == set(ConversionSettings.model_fields)
    assert sum(map(len, groups)) == len(ConversionSettings.model_fields)
    assert set(ConvertConfig.model_fields) - {"video", "simulator"} <= own


def test_flat_settings_map_to_their_groups() -> None:
    flat = ConversionSettings(fps=25, resize="16x12", pos_thres=0.3, seed=4, upsample=3, sort=True)
    assert flat.of_video() == ConvertConfig(
        video=VideoSettings(fps=25, resize="16x12"),
        simulator=SimulatorConfig(pos_thres=0.3, seed=4),
        upsample=3,
    )
    assert flat.of_recording(hints=Hints(time_unit="us")) == RecordingConfig(hints=Hints(time_unit="us"), sort=True)
    assert ConversionSettings().of_video() == ConvertConfig()


def test_flat_settings_are_validated_like_their_groups() -> None:
    with raises(ConfigError, "stop"):
        ConversionSettings(start_s=2, stop_s=1)
