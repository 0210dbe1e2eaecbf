"""One function over many files in threads, in order, with a progress bar.

Threads suffice because reading, hashing and the decoders release the interpreter's lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cxr_keras.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_workers() -> int:
    """Give the number of processors this process may use, at most 16."""
    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def map_in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None,
    description: str,
    show_progress: bool = True,
) -> list[Result]:
    """Apply `function` to all `items`.

    Args:
        function: must be safe to run in several threads.
        items: what to apply it to.
        workers: number of threads, or None for one a processor.
        description: for the progress bar.
        show_progress: False to stay silent.

    Returns:
        The results in the order of `items`.

    Raises:
        ValueError: `workers` below 1.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; expected 1 or more, or none for one a processor.")
    with ThreadPoolExecutor(workers or default_workers()) as pool:
        try:
            results: Iterable[Result] = pool.map(function, items)
            return list(track(results, total=len(items), description=description) if show_progress else results)
        except BaseException:
            # Without this, leaving the pool after Ctrl-C would wait for every file that is still in the queue.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
