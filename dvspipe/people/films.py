"""The person in a film, tracked once for the region of interest and for joints."""

from __future__ import annotations

from functools import lru_cache

from ..base.errors import VideoError
from ..hooks import Film
from .config import TrackSettings
from .track import Track
from .tracking import track_pictures

REGION_LOOKS = TrackSettings(max_fps=4, still_fps=1)  # enough to find the region
JOINT_LOOKS = TrackSettings(max_fps=10, still_fps=4)  # 41 films get the class that 20 looks per second give
MAX_FILMS = 8  # films whose tracks are kept; a process works on few at a time


@lru_cache(maxsize=MAX_FILMS)
def track_person(film: Film) -> Track | None:
    """Return the joints of the largest person in a film over time; None if nobody is found."""
    video = film.open()
    count = video.estimate_selected()
    looks = JOINT_LOOKS if film.is_advised else REGION_LOOKS
    try:
        return track_pictures(video.pictures(), video.size, looks, name=film.name, progress=film.progress, count=count)
    except VideoError:
        return None  # the simulation reports problems of the film
