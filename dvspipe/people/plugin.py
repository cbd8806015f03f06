"""What the extra `people` adds: joints of people in films, to see the person and to classify gestures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..hooks import Adviser, Command, Film, SquarePath, hookimpl


@hookimpl
def commands() -> Sequence[Command]:
    """Return the command `track`."""
    summary = "Track the joints of the largest person in a video, and write them as CSV."
    return (Command("track", "dvspipe.people.tracking:track", summary, "Recordings"),)


@hookimpl
def functions() -> Mapping[str, str]:
    """Return the function `track`."""
    return {"track": "dvspipe.people.tracking:track"}


@hookimpl
def find_region(film: Film) -> SquarePath | None:
    """Find the square around the person and both hands."""
    from .films import track_person
    from .region import frame_person

    track = track_person(film)
    return None if track is None else frame_person(track)


@hookimpl
def advise(checkpoint: str, classes: tuple[str, ...]) -> Adviser | None:
    """Find the joint network of a checkpoint."""
    from .advice import JointAdviser

    return JointAdviser.find(checkpoint, classes)
