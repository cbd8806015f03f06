"""A callback that keeps the warnings of a training."""

from __future__ import annotations

from dvspipe.training import TrainingCallback


class Recorder(TrainingCallback):
    """Appends the warnings of a training to a list."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def on_warning(self, text: str) -> None:
        """Append a warning."""
        self.texts.append(text)
