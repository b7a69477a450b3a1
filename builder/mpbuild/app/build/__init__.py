"""Builds a package: blueprint, build graph, executors, memo."""
