"""Reads the files that people write strictly into frozen data."""
