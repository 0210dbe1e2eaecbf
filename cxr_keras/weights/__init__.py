"""Finding, checking and converting pretrained weights, before anything slow begins."""

from cxr_keras.weights.check import check_weights
from cxr_keras.weights.convert import convert_checkpoint
from cxr_keras.weights.files import StoredLayer, read_stored_layers
from cxr_keras.weights.resolve import resolve_weights

__all__ = ["StoredLayer", "check_weights", "convert_checkpoint", "read_stored_layers", "resolve_weights"]
