"""One progress bar for everything that counts: a rich bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0
"""How often a line is printed where the output is no terminal (a log file, a CI job)."""


def track(iterable: Iterable[Item], *, total: int, description: str, unit: str = "images") -> Iterator[Item]:
    """Pass `iterable` on and show how far it has come, how fast, and the time left.

    Args:
        iterable: what to count.
        total: how many items it will give.
        description: what is being done, e.g. "decoding".
        unit: the plural name of one item.

    Yields:
        The items of `iterable`, unchanged and in order.
    """
    shown = _rich_bar if sys.stderr.isatty() else _plain_lines
    yield from shown(iterable, total, description, unit)


def _rich_bar(iterable: Iterable[Item], total: int, description: str, unit: str) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + " {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, rate="")
        started = time.monotonic()
        for count, item in enumerate(iterable, start=1):
            yield item
            rate = count / max(time.monotonic() - started, 1e-6)
            progress.update(task, completed=count, rate=f"{_shown(rate)}/s")


def _plain_lines(iterable: Iterable[Item], total: int, description: str, unit: str) -> Iterator[Item]:
    started = last = time.monotonic()
    count = 0
    for count, item in enumerate(iterable, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and count < total:
            last = now
            rate = count / (now - started)
            left = (total - count) / rate
            print(f"{description}: {count:,} of {total:,} {unit}, {_shown(rate)}/s, {left:,.0f} s left", file=sys.stderr)
    seconds = time.monotonic() - started
    if count:
        print(f"{description}: {count:,} {unit} in {seconds:,.1f} s", file=sys.stderr)


def _shown(rate: float) -> str:
    """Slow work has digits too: "0.42", "3.1", "120"."""
    return f"{rate:.2g}" if rate < 10 else f"{rate:,.0f}"
