"""The settings of the pixel model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..config import Settings, read_yaml


class SimulatorConfig(Settings):
    """Settings of the pixel model; names are v2e's where it has them (Hu, Liu and Delbruck 2021, section 3).

    The defaults are an ideal sensor: no mismatch, no noise, no bandwidth limit, no refractory period.
    """

    pos_thres: float = Field(default=0.2, ge=0.001, le=10)
    """ON contrast threshold: the rise of the log intensity that makes one ON event."""
    neg_thres: float = Field(default=0.2, ge=0.001, le=10)
    """OFF contrast threshold: the fall of the log intensity that makes one OFF event."""
    sigma_thres: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of the fixed thresholds from pixel to pixel, in log intensity; none falls below 0.01."""
    intensity_map: Literal["log", "linlog"] = "log"
    """`log`: L = ln(I + log_offset), I in [0, 1]. `linlog`: v2e's, ln(255 I) above 255 I = 20, below it the straight
    line through the origin (Hu et al. 2021, section 3.2)."""
    log_offset: float = Field(default=1 / 255, gt=0, le=1)
    """Epsilon in L = ln(I + epsilon): the intensity that adds to the light, as a dark current does."""
    cutoff_hz: float = Field(default=0.0, ge=0)
    """Bandwidth of the photoreceptor at white, in Hz; 0 is unlimited. The low-pass has tau = 1 / (2 pi cutoff_hz) there
    and is slower in the dark, by (I + 0.1) / 1.1 (after Hu et al. 2021, section 3.3)."""
    cutoff_order: Literal[1, 2] = 1
    """Number of equal low-pass stages, one after the other."""
    leak_rate_hz: float = Field(default=0.0, ge=0, le=1000)
    """ON events per pixel and second from the leak of the reference (Nozaki and Delbruck 2017)."""
    leak_jitter_fraction: float = Field(default=0.1, ge=0, le=0.3)
    """Standard deviation of the time between two leak events, as a share of it."""
    shot_noise_rate_hz: float = Field(default=0.0, ge=0, le=10_000)
    """Noise events per pixel and second in the dark, ON and OFF together; a quarter of that at white (v2e's factor)."""
    hot_pixel_fraction: float = Field(default=0.0, ge=0, le=1)
    """Share of pixels, drawn once, that fire ON events on their own."""
    hot_pixel_rate_hz: float = Field(default=100.0, ge=0, le=100_000)
    """Events per second of a hot pixel."""
    refractory_period: float = Field(default=0.0, ge=0, le=1)
    """Seconds after an event in which the pixel reports none. A crossing in it is lost; the reference moves all the
    same."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of mismatch and noise."""

    @property
    def noisy(self) -> bool:
        """Whether there are noise events."""
        return bool(
            self.leak_rate_hz or self.shot_noise_rate_hz or (self.hot_pixel_fraction and self.hot_pixel_rate_hz)
        )


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a shipped sensor preset, such as `noisy` or `davis346`, or of a YAML file.

    Raises:
        ConfigError: There is none of that name.
    """
    return read_yaml(name, kind="sensors")
