"""Predictions into a file, row by row; the file gets its name when the last row is in it."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

FORMATS = {"csv": ".csv", "jsonl": ".jsonl"}


class RowWriter:
    """A table that grows on the disk.

    Left with an error or by Ctrl-C, the rows so far stay in a file whose name ends in `.partial.csv` or `.partial.jsonl`.

    Args:
        path: the final file; its folder is made.
        columns: names of the columns, in order; a row may lack some.
        format_name: "csv", where flags are words of one cell, or "jsonl", one JSON object a line, without what is empty.
    """

    def __init__(self, path: Path, columns: list[str], *, format_name: str) -> None:
        self.path, self.columns, self.format_name = path, columns, format_name
        self.partial = path.with_name(f"{path.stem}.partial{path.suffix or FORMATS[format_name]}")

    def __enter__(self) -> RowWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(self.partial, "w", newline="", encoding="utf-8")
        if self.format_name == "csv":
            self._table = csv.DictWriter(self._stream, self.columns, restval="", lineterminator="\n")
            self._table.writeheader()
        return self

    def write(self, row: dict[str, Any]) -> None:
        """Append a row; `flags` is a mapping from flag to words."""
        if self.format_name == "csv":
            flags = row.get("flags")
            self._table.writerow(row | ({"flags": "; ".join(f"{flag}: {words}" for flag, words in flags.items())} if flags else {}))
        else:
            given = {name: row[name] for name in self.columns if row.get(name) is not None}
            self._stream.write(json.dumps(given, ensure_ascii=False, allow_nan=False) + "\n")

    def flush(self) -> None:
        """Hand what is written to the system, so that a kill leaves it."""
        self._stream.flush()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        if kind is None:
            os.replace(self.partial, self.path)
