"""Readers that turn layouts of images on disk into a manifest, one file each."""

from cxr_keras.data.sources.build import build_manifest
from cxr_keras.data.sources.registry import get_source, list_sources

__all__ = ["build_manifest", "get_source", "list_sources"]
