"""Fetches the files that locks and specs name into the store."""
