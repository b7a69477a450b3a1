"""Locks: resolve them, check them."""
