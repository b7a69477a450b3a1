"""Finds and reads a workspace and its targets, and creates new ones."""
