"""Included examples: the sample clip, and its events."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..recordings.conversion import convert_video
from ..report.pages import data_address
from .workspace import Session

HERE = Path(__file__).parent
SAMPLE = HERE / "sample.mp4"
THREADS = 2


@dataclass(frozen=True)
class Example:
    """Included file to try the app with.

    Args:
        name: File name.
        text: Description, in a few words.
    """

    name: str
    text: str

    @property
    def is_recording(self) -> bool:
        """Whether it has events; otherwise it is a video."""
        return self.name != SAMPLE.name

    @property
    def thumbnail(self) -> Path:
        """Small picture of its content."""
        return HERE / f"{Path(self.name).stem}-{'events' if self.is_recording else 'film'}.jpg"

    @property
    def css_class(self) -> str:
        """CSS class of the button that chooses it."""
        return f"example-{self.thumbnail.stem}"

    def picture_url(self) -> str:
        """Return the thumbnail as a data URL."""
        return data_address("image/jpeg", self.thumbnail.read_bytes())

    def css(self) -> str:
        """Return the CSS that shows the thumbnail on the button."""
        return f'.{self.css_class}::before {{ background-image: url("{self.picture_url()}"); }}\n'

    def put(self, session: Session) -> Path:
        """Return the path of the example in the folder of a session; it is made on first use."""
        path = session.folder / self.name
        if path.exists():
            return path

        if not self.is_recording:
            return Path(shutil.copyfile(SAMPLE, path))
        convert_video(SAMPLE, path, overwrite=True)
        return path


FILM = Example(SAMPLE.name, "Rendered person: waves, then circles an arm (7 s, synthetic)")
EVENTS = Example("sample.h5", "Events of a rendered person: waves, then circles an arm (7 s, synthetic)")
EXAMPLES = (FILM, EVENTS)
"""All examples: the video, and its events."""
