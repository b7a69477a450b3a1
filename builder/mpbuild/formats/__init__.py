"""Bytes to data and back, a file each; pure."""
