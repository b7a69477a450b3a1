"""Debian archives: mirrors, signed releases, package indexes."""
