"""Finding and checking pretrained weights, before anything slow begins."""

from cxr_keras.weights.check import check_weights
from cxr_keras.weights.files import StoredLayer, read_stored_layers
from cxr_keras.weights.resolve import resolve_weights

__all__ = ["StoredLayer", "check_weights", "read_stored_layers", "resolve_weights"]
