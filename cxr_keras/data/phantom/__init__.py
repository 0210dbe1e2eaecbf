"""Chest-like X-ray images drawn by rule, so that everything runs with no data at all. They are no medical images."""

from cxr_keras.data.phantom.generate import generate_phantom, read_phantom
from cxr_keras.data.phantom.plan import Faults

__all__ = ["Faults", "generate_phantom", "read_phantom"]
