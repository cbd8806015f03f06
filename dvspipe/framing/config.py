"""Settings of framing: region of interest, fit to the network's sensor, and conversion of videos to events."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from ..base.config import ROI_PATTERN, Settings, build, merge_settings
from ..recordings.config import ConvertConfig, UniqueConvertKeywords
from ..video.config import VideoSettings


class FramingConfig(Settings):
    """Framing of recordings and videos for a network; stored in its checkpoint."""

    fit: Literal["crop", "scale"] | None = None
    """Fit of recordings from another sensor size: `crop` takes the middle without scaling, `scale` scales the events.
    Default: larger recordings are scaled down, smaller ones are an error; videos are scaled before simulation."""
    roi: str | None = Field(default=None, pattern=ROI_PATTERN)
    """Region of interest: WIDTHxHEIGHT+LEFT+TOP, may extend beyond the picture (128x128+40-8); `auto`: follow the
    moving person slowly, scaled to the size of people in training clips; or `full`. Default: `auto` for videos and for
    recordings from a sensor larger than the network's; `full` for other recordings, or if `fit` or a crop or size of
    the video is set."""
    video: ConvertConfig = ConvertConfig()
    """Conversion of videos to events."""

    def with_defaults(self, framing: FramingConfig) -> Self:
        """Return these settings, with unset values taken from `framing`.

        If `roi` is set, it replaces all settings of `framing` that select a part of the picture.

        Example:
            >>> trained = FramingConfig(roi="full", video={"upsample": 4})
            >>> used = FramingConfig(video={"simulator": {"pos_thres": 0.3}}).with_defaults(trained)
            >>> used.roi, used.video.upsample, used.video.simulator.pos_thres
            ('full', 4, 0.3)
        """
        explicit = self.model_dump(mode="json", exclude_unset=True)
        defaults = framing.model_dump(mode="json", include=set(FramingConfig.model_fields))

        # An explicit region replaces everything that selects or scales the pictures.
        if "roi" in explicit:
            defaults["fit"] = None
            defaults["video"]["video"] |= {"crop": None, "resize": None}

        return build(type(self), merge_settings(defaults, explicit), type(self).__name__)

    def for_recording(self, name: str) -> Self:
        """Return the settings for a recording with a name, which decides the noise of a simulated video.

        See `SimulatorConfig.for_recording`.
        """
        return self.model_copy(update={"video": self.video.for_recording(name)})

    def for_checkpoint(self) -> FramingConfig:
        """Return the settings that apply to any recording, without times, files and noise seeds of specific videos."""
        convert = self.video
        video = self.video.video
        geometry = VideoSettings(transfer=video.transfer, crop=video.crop, resize=video.resize)
        simulator = convert.simulator.model_copy(update={"noise_seed": None})
        framed = ConvertConfig(video=geometry, simulator=simulator, upsample=convert.upsample)

        return FramingConfig(fit=self.fit, roi=self.roi, video=framed)


class UniqueFramingKeywords(UniqueConvertKeywords, total=False):
    """Settings of `FramingConfig` by name, without `video` and `time_unit`, which larger configurations have twice."""

    fit: Literal["crop", "scale"] | None
    roi: str | None
