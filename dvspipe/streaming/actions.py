"""Actions on gestures: once per gesture, from the predictions of a live stream.

A class leads while its predictions are certain. When it has led for the hold time, it triggers an action, so a short
flicker of the prediction triggers none. It can trigger again only after it has not led for the gap time (debouncing),
so a gesture that lasts gives one action, and two gestures with rest between them give two. Without a gap time, it
triggers again as soon as it has stopped leading.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from ..base.gestures import OTHER
from ..base.settings import Settings
from ..results.tables import Record
from .answers import LiveAnswer


class ActionConfig(Settings):
    """When a gesture acts; see `find_actions`."""

    hold_s: float = Field(default=0.5, ge=0, le=3600)
    """Time for which a class must lead, with certain predictions, until it acts, in seconds."""
    gap_s: float = Field(default=1.0, ge=0, le=3600)
    """Time for which a class must not lead until it can act again, in seconds."""


class Action(Record):
    """Action that a gesture triggers."""

    class_name: str
    """Class of the gesture."""
    probability: float
    """Mean probability of the class while it led, 0 to 1."""
    t_s: float
    """Time of the action on the clock of the stream, in seconds."""
    start_s: float
    """Time since which the class led, in seconds."""


class ActionFinder:
    """Finds the actions in predictions that arrive in order of time.

    Args:
        config: Hold and gap time.
    """

    def __init__(self, config: ActionConfig = ActionConfig()) -> None:
        self._hold_us = round(config.hold_s * 1e6)
        self._gap_us = round(config.gap_s * 1e6)
        self._leading: str | None = None
        self._since_us = 0
        self._has_acted = False  # the gesture of this lead
        self._probabilities: list[float] = []
        self._last_led_us: dict[str, int] = {}  # per class that has acted

    def add(self, answer: LiveAnswer) -> Action | None:
        """Return the action that the next prediction triggers, if any."""
        name = answer.class_name if answer.certain and answer.class_name != OTHER else None
        if name != self._leading:
            self._leading = name
            self._since_us = answer.t_us
            self._probabilities = []

            # A class that leads again within the gap time continues its last gesture.
            last_us = self._last_led_us.get(name) if name else None
            self._has_acted = last_us is not None and answer.t_us - last_us < self._gap_us

        if name is None:
            return None

        if self._has_acted:
            self._last_led_us[name] = answer.t_us
            return None

        self._probabilities.append(answer.probability)
        if answer.t_us - self._since_us < self._hold_us:
            return None

        self._has_acted = True
        self._last_led_us[name] = answer.t_us
        return Action(
            class_name=name,
            probability=sum(self._probabilities) / len(self._probabilities),
            t_s=answer.t_us / 1e6,
            start_s=self._since_us / 1e6,
        )


def find_actions(answers: Iterable[LiveAnswer], config: ActionConfig = ActionConfig()) -> Iterator[Action]:
    """Yield the actions in the predictions of a live stream, as they occur.

    Other gestures never act.

    Args:
        answers: Predictions in order of time, such as a `LiveSession`.
        config: Hold and gap time.
    """
    finder = ActionFinder(config)
    for answer in answers:
        action = finder.add(answer)
        if action is not None:
            yield action
