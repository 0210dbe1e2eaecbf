"""Chest X-ray classification with Keras: train, cross-validate and score, with folds that no patient crosses.

The names below are the public API; they are imported when first used, so `import cxr_keras` is instant.

    config = cxr_keras.load_config("mini_vgg", sample=True)
    scores = cxr_keras.cross_validate(config, "runs/notebook")
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "build_manifest": "cxr_keras.data.sources",
    "check_images": "cxr_keras.data.check",
    "cross_validate": "cxr_keras.recipes.cross_validate",
    "evaluate": "cxr_keras.recipes.evaluate",
    "generate_phantom": "cxr_keras.data.phantom",
    "load_config": "cxr_keras.config.loader",
    "make_folds": "cxr_keras.data.folds",
    "open_pixel_cache": "cxr_keras.data.cache",
    "read_manifest": "cxr_keras.data.manifest",
    "read_predictions": "cxr_keras.evaluation",
    "score_predictions": "cxr_keras.evaluation",
    "train": "cxr_keras.recipes.train",
    "tune": "cxr_keras.recipes.tune",
    "write_manifest": "cxr_keras.data.manifest",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cxr_keras' has no attribute {name!r}; it offers {', '.join(sorted(_HOMES))}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
