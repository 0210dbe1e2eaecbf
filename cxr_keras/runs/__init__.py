"""Run directories, provenance, crash-safe files and jobs."""
