"""Strategies, phases and the one fit engine."""
