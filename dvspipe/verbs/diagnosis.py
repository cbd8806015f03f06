"""Checks of this machine: what was found, what it means, and what to do."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from typing import Literal

from ..base.texts import TextTable
from ..results.tables import Record

CheckState = Literal["ok", "missing", "broken"]
"""Result of a check; what is missing is needed only for what its text says, what is broken stops most commands."""


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

    @classmethod
    def of(cls, checks: Sequence[Check]) -> Diagnosis:
        """Return the diagnosis of this machine.

        Args:
            checks: Results of the checks.
        """
        return cls(
            version=importlib.metadata.version("dvspipe"),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            checks=tuple(checks),
        )

    @property
    def broken(self) -> tuple[Check, ...]:
        """Checks of something that most commands need."""
        return tuple(check for check in self.checks if check.state == "broken")

    def describe(self) -> Sequence[str | TextTable]:
        """Return the checks as a table."""
        table = TextTable("", "check", "result", optional=("result",))
        for check in self.checks:
            table.add_row(check.state, check.name, check.text)

        return [f"dvspipe {self.version}, {self.system}", table]
