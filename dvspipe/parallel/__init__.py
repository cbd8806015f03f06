"""Map over items by an engine: processes of this machine, or the cores of a Ray cluster (`parallel.cluster`)."""

from .processes import (
    ALL,
    Engine,
    Outcome,
    Processes,
    Progress,
    Shard,
    ignore_progress,
    map_items,
    prefetch,
)

__all__ = [
    "ALL",
    "Engine",
    "Outcome",
    "Processes",
    "Progress",
    "Shard",
    "ignore_progress",
    "map_items",
    "prefetch",
]
