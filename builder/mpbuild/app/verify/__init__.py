"""Verifies and reproduces packages."""
