"""Builds packages: blueprint, build graph, executors, record, memo."""
