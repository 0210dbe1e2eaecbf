"""All sources, one line each."""

from __future__ import annotations

import difflib

from cxr_keras.data.sources.class_folders import SOURCE as CLASS_FOLDERS
from cxr_keras.data.sources.dicom import SOURCE as DICOM
from cxr_keras.data.sources.ieee8023 import SOURCE as IEEE8023
from cxr_keras.data.sources.kermany import SOURCE as KERMANY
from cxr_keras.data.sources.manifest_csv import SOURCE as MANIFEST_CSV
from cxr_keras.data.sources.phantom import SOURCE as PHANTOM
from cxr_keras.data.sources.radiography import SOURCE as RADIOGRAPHY
from cxr_keras.data.sources.source import Source

SOURCES: tuple[Source, ...] = (
    KERMANY,
    IEEE8023,
    RADIOGRAPHY,
    CLASS_FOLDERS,
    MANIFEST_CSV,
    DICOM,
    PHANTOM,
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
