"""Checks of this machine and of its cameras: what was found, what it means, and what to do."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ..base.texts import TextTable
from ..results.cameras import CameraTrial
from ..results.tables import Record

if TYPE_CHECKING:
    from ..streaming.devices import ConnectedCamera

CheckState = Literal["ok", "doubtful", "missing", "broken"]
"""Result of a check; what is missing is needed only for what its text says, what is broken stops most commands, or the
camera."""


class Check(Record):
    """One thing that a machine has or lacks."""

    name: str
    """What was looked for."""
    state: CheckState
    """Result."""
    found: str
    """What was found."""
    meaning: str
    """What follows from it."""
    remedy: str = ""
    """What to do; empty: nothing."""

    @property
    def text(self) -> str:
        """The check in a few words."""
        return "; ".join(filter(None, (self.found, self.meaning, self.remedy)))


class Diagnosis(Record):
    """What a machine has and lacks, for dvspipe."""

    version: str
    """Version of dvspipe."""
    system: str
    """Operating system and processor."""
    checks: tuple[Check, ...]
    """Results of the checks."""
    udev_rules: tuple[str, ...] = ()
    """Lines for udev, for the event cameras that this user may not open."""
    trial: CameraTrial | None = None
    """Measurements of an event camera; null: none was tried."""

    @classmethod
    def of(
        cls, checks: Sequence[Check], cameras: Sequence[ConnectedCamera], trial: CameraTrial | None = None
    ) -> Diagnosis:
        """Return the diagnosis of this machine.

        Args:
            checks: Results of the checks.
            cameras: Event cameras; those that this user may not open have a rule for udev.
            trial: Measurements of one of them.
        """
        closed = [camera.vendor for camera in cameras if camera.vendor is not None and not camera.is_open]
        return cls(
            version=importlib.metadata.version("dvspipe"),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            checks=tuple(checks),
            udev_rules=tuple(sorted({vendor.udev_rule for vendor in closed})),
            trial=trial,
        )

    @property
    def broken(self) -> tuple[Check, ...]:
        """Checks of something that most commands need."""
        return tuple(check for check in self.checks if check.state == "broken")

    def describe(self) -> Sequence[str | TextTable]:
        """Return the checks as a table, and the rules for udev with the commands that install them."""
        table = TextTable("", "check", "result", optional=("result",))
        for check in self.checks:
            table.add_row(check.state, check.name, check.text)

        parts: list[str | TextTable] = [f"dvspipe {self.version}, {self.system}", table]
        if self.udev_rules:
            from ..streaming.devices import RULES_FILE

            parts.append("\nTo open the event cameras without root, paste this, and plug them in again:\n")
            parts.append(f"sudo tee {RULES_FILE} <<'END'")
            parts.extend(self.udev_rules)
            parts.append("END\nsudo udevadm control -R && sudo udevadm trigger")
        return parts
