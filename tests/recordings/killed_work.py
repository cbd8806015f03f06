"""Work that kills its process; a separate module, because every Ray worker imports it."""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from dvspipe.base.errors import FileError
from dvspipe.base.progress import Progress


@dataclass(frozen=True)
class KillsItself:
    """Double numbers; kill the worker once at item 0, and always at items above 100."""

    flag: Path

    def __call__(self, item: int, _: Progress) -> int:
        if item > 100 or (item == 0 and not self.flag.exists()):
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if item == 7:
            logging.getLogger("dvspipe.test").warning("seven")
        if item < 0:
            raise FileError(f"item {item}")
        return 2 * item


@dataclass(frozen=True)
class WaitsOnANode:
    """Report the node of a Ray cluster that starts an item, then wait for the file `go`."""

    folder: Path

    def __call__(self, item: int, _: Progress) -> int:
        import ray

        node = ray.get_runtime_context().get_node_id()
        (self.folder / f"{item}.{node}.started").touch()
        while not (self.folder / "go").exists():
            time.sleep(0.05)
        return item
