"""All sources, one line each."""

from __future__ import annotations

import difflib

from cxr_keras.data.sources.ieee8023 import SOURCE as IEEE8023
from cxr_keras.data.sources.kermany import SOURCE as KERMANY
from cxr_keras.data.sources.source import Source

SOURCES: tuple[Source, ...] = (
    KERMANY,
    IEEE8023,
)


def list_sources() -> tuple[str, ...]:
    """Give the names of all sources."""
    return tuple(source.name for source in SOURCES)


def get_source(name: str) -> Source:
    """Give a source by its name.

    Raises:
        ValueError: unknown name; the message lists all and names the nearest.
    """
    for source in SOURCES:
        if source.name == name:
            return source
    near = difflib.get_close_matches(name, list_sources(), n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    known = "\n".join(f"  {source.name}: {source.description}" for source in SOURCES)
    raise ValueError(f"unknown source {name!r}.{hint} Expected SOURCE:PATH with one of\n{known}")
