"""Compiled kernels in several threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_pool: ThreadPoolExecutor | None = None


def run_in_threads(count: int, work: Callable[[int, int], object]) -> None:
    """Call `work(first, last)` on consecutive ranges of `count` items, in as many threads as torch uses."""
    global _pool
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        work(0, count)
        return
    if _pool is None or _pool._max_workers < threads:
        _pool = ThreadPoolExecutor(threads, thread_name_prefix="kernels")
    edges = [count * part // threads for part in range(threads + 1)]
    for _ in _pool.map(work, edges, edges[1:]):
        pass
