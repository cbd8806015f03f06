"""Settings of framing: region of interest, fit to the network's sensor, and conversion of videos to events."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from ..base.settings import Settings
from ..formats import Hints
from ..recordings.config import FilmConfig
from ..simulator import SimulatorConfig

OF_PICTURES = ("fit", "crop", "resize")
"""Settings that select or scale a part of the picture; a region of interest replaces them."""


class RegionConfig(Settings):
    """Which part of a recording a network sees, and how it fits the network's sensor."""

    fit: Literal["crop", "scale"] | None = None
    """Fit of recordings from another sensor size: `crop` takes the middle without scaling, `scale` scales the events.
    Default: larger recordings are scaled down, smaller ones are an error; videos are scaled before simulation."""
    roi: str | None = Field(default=None, pattern=r"^(auto|full|\d+x\d+[+-]\d+[+-]\d+)$")
    """Region of interest: WIDTHxHEIGHT+LEFT+TOP, may extend beyond the picture (128x128+40-8); `auto`: follow the
    moving person slowly, scaled to the size of people in training clips; or `full`. Default: `auto` for videos and for
    recordings from a sensor larger than the network's; `full` for other recordings, or if `fit` or a crop or size of
    the video is set."""


class FramingConfig(RegionConfig, Hints, FilmConfig):
    """Framing of recordings and videos for a network; its checkpoint stores the part that `for_checkpoint` returns."""

    @property
    def zoom(self) -> float | None:
        """Zoom of a region that follows a person; None: people have the size in training clips."""
        return 1.0 if self.fit == "crop" else None

    def follows(self, *, by_default: bool) -> bool:
        """Return whether the region follows the moving person; `by_default`, if no setting says what to show."""
        return self.roi == "auto" or (by_default and self.roi is None and self.fit is None)

    def with_defaults(self, framing: FramingConfig) -> Self:
        """Return these settings, with those of `framing` that are not given here.

        If `roi` is given, it replaces all settings of `framing` that select a part of the picture.

        Example:
            >>> trained = FramingConfig(roi="full", upsample=4)
            >>> FramingConfig(pos_thres=0.3).with_defaults(trained)
            FramingConfig(pos_thres=0.3, upsample=4, roi='full')
        """
        replaced = OF_PICTURES if "roi" in self.model_fields_set else ()
        defaults = {name: value for name, value in framing.given.items() if name not in replaced}
        return type(self)(**defaults | self.given)

    def for_checkpoint(self) -> FramingConfig:
        """Return the settings that apply to any recording, without times, files and noise seeds of specific videos."""
        stored = {*OF_PICTURES, "roi", "transfer", "upsample", *SimulatorConfig.model_fields} - {"noise_seed"}
        return FramingConfig(**{name: value for name, value in self if name in stored})
