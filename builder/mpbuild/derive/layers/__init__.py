"""Derives layers: wheels, Debian packages, files and bytecode as reproducible tar streams."""
