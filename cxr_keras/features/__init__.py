"""Features once: what a fixed network gives for each picture, computed once and kept in HDF5 for all folds and runs.

Extraction is in `cxr_keras.features.extract`; it alone needs keras.
"""

from cxr_keras.features.store import FeatureStore, open_store

__all__ = ["FeatureStore", "open_store"]
