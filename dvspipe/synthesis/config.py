"""Settings of synthetic recordings."""

from __future__ import annotations

from typing import Literal

CameraKind = Literal["dvs", "webcam", "both"]
"""Cameras that record people: a simulated DVS128, a webcam or phone with converted videos, or a clip of each."""
