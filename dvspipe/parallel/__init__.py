"""Map a function over items with local processes, or with a Ray cluster (`parallel.cluster`)."""

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
