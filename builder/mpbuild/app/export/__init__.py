"""Exports parts of a package: an image, a PEX folder, a lock."""
