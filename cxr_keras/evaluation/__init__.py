"""Predictions, scores and intervals."""
