"""Map a function over items with local processes, or with a Ray cluster (`parallel.cluster`)."""

from .processes import (
    ALL,
    Engine,
    Outcome,
    Processes,
    Shard,
    map_items,
    prefetch,
)
from .progress import CurrentStep, NamedStep, Progress, StepProgress, ignore_progress, report_step

__all__ = [
    "ALL",
    "CurrentStep",
    "Engine",
    "NamedStep",
    "Outcome",
    "Processes",
    "Progress",
    "Shard",
    "StepProgress",
    "ignore_progress",
    "map_items",
    "prefetch",
    "report_step",
]
