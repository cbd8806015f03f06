"""Settings of the pixel model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..config import Settings, read_yaml, shipped_configs


class SimulatorConfig(Settings):
    """Settings of the pixel model; names are those of v2e, if it has them (Hu, Liu and Delbruck 2021, section 3).

    The defaults are an ideal sensor: no mismatch, no noise, no bandwidth limit, no refractory period.
    """

    pos_thres: float = Field(default=0.2, ge=0.001, le=10)
    """ON contrast threshold: the rise of the log intensity per ON event."""
    neg_thres: float = Field(default=0.2, ge=0.001, le=10)
    """OFF contrast threshold: the fall of the log intensity per OFF event."""
    sigma_thres: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of the thresholds from pixel to pixel, in log intensity; all are at least 0.01."""
    intensity_map: Literal["log", "linlog"] = "log"
    """`log`: L = ln(I + log_offset), I in [0, 1]. `linlog`: that of v2e, ln(255 I) above 255 I = 20 and a straight line
    through the origin below (Hu et al. 2021, section 3.2)."""
    log_offset: float = Field(default=1 / 255, gt=0, le=1)
    """Epsilon in L = ln(I + epsilon): an intensity added to the light, like a dark current."""
    cutoff_hz: float = Field(default=0.0, ge=0)
    """Bandwidth of the photoreceptor at white in Hz; 0 is unlimited. The low-pass has tau = 1 / (2 pi cutoff_hz) at
    white, and is slower in the dark by a factor (I + 0.1) / 1.1 (after Hu et al. 2021, section 3.3)."""
    cutoff_order: Literal[1, 2] = 1
    """Number of equal low-pass stages in series."""
    leak_rate_hz: float = Field(default=0.0, ge=0, le=1000)
    """ON events per pixel and second due to the leak of the reference (Nozaki and Delbruck 2017)."""
    leak_jitter_fraction: float = Field(default=0.1, ge=0, le=0.3)
    """Standard deviation of the time between two leak events, as a fraction of its mean."""
    shot_noise_rate_hz: float = Field(default=0.0, ge=0, le=10_000)
    """Noise events per pixel and second in the dark, ON and OFF together; a quarter of that at white (v2e's factor)."""
    hot_pixel_fraction: float = Field(default=0.0, ge=0, le=1)
    """Fraction of pixels, chosen at random, that fire ON events on their own."""
    hot_pixel_rate_hz: float = Field(default=100.0, ge=0, le=100_000)
    """Events per second of a hot pixel."""
    refractory_period: float = Field(default=0.0, ge=0, le=1)
    """Time after an event in seconds in which the pixel fires no other. A crossing in this time is lost; the reference
    still moves."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of mismatch and noise."""

    @property
    def noisy(self) -> bool:
        """Whether there are noise events."""
        return bool(
            self.leak_rate_hz or self.shot_noise_rate_hz or (self.hot_pixel_fraction and self.hot_pixel_rate_hz)
        )


def list_presets() -> list[str]:
    """Return the sorted names of the shipped sensor presets."""
    return shipped_configs("sensors")


def read_preset(name: str) -> dict[str, Any]:
    """Return the settings of a shipped sensor preset, such as `noisy` or `davis346`, or of a YAML file.

    Raises:
        ConfigError: There is no such preset.
    """
    return read_yaml(name, kind="sensors")
