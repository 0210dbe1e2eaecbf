"""Searching over settings with KerasTuner: the space, oracles that survive a kill, the chief's service for several workers."""
