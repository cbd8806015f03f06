"""Callback that records the warnings of a training run."""

from __future__ import annotations

from dvspipe.training import TrainingCallback


class Recorder(TrainingCallback):
    """Append the warnings of a training run to a list."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def on_warning(self, text: str) -> None:
        """Append a warning."""
        self.texts.append(text)
