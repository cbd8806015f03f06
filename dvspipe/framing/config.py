"""Framing: which part of a recording a network sees, at which size, and how a video becomes events."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from ..config import ROI_PATTERN, Settings, build, merge_settings
from ..recordings.conversion import ConvertConfig
from ..video.config import VideoSettings


class FramingConfig(Settings):
    """How recordings and videos become events of the sensor that a network is for; stored in its checkpoint."""

    fit: Literal["crop", "scale"] | None = None
    """How recordings of another sensor are fitted: `crop` takes the middle, pixel on pixel, `scale` scales them. None:
    a larger one is scaled down, and a smaller one is an error; videos are scaled before they are simulated."""
    roi: str | None = Field(default=None, pattern=ROI_PATTERN)
    """Part of the picture to use: WIDTHxHEIGHT+LEFT+TOP, which may reach beyond it (128x128+40-8); `auto`, the person
    who moves, followed slowly and scaled to the size that networks are trained with (see `find_framing`); or `full`.
    None: `auto` for videos and for recordings of a larger sensor than the network's, `full` for others and if `fit`, or
    a crop or size of the video, is given."""
    video: ConvertConfig = ConvertConfig()
    """How videos become events."""

    def with_defaults(self, framing: FramingConfig) -> Self:
        """Return these settings, with the values of `framing` for those that were not given.

        A region that is given replaces everything that selects a part of the picture.

        Example:
            >>> trained = FramingConfig(roi="full", video={"upsample": 4})
            >>> used = FramingConfig(video={"simulator": {"pos_thres": 0.3}}).with_defaults(trained)
            >>> used.roi, used.video.upsample, used.video.simulator.pos_thres
            ('full', 4, 0.3)
        """
        given = self.model_dump(mode="json", exclude_unset=True)
        defaults = framing.model_dump(mode="json", include=set(FramingConfig.model_fields))
        if "roi" in given:
            defaults["fit"] = None
            defaults["video"]["video"] |= {"crop": None, "resize": None}
        return build(type(self), merge_settings(defaults, given), type(self).__name__)

    def for_checkpoint(self) -> FramingConfig:
        """Return what holds for any recording: these settings without times and file options of the videos at hand."""
        video, given = self.video, self.video.video
        kept = VideoSettings(transfer=given.transfer, crop=given.crop, resize=given.resize)
        framed = ConvertConfig(video=kept, simulator=video.simulator, upsample=video.upsample)
        return FramingConfig(fit=self.fit, roi=self.roi, video=framed)
