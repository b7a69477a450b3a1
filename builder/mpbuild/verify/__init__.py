"""Authenticates statements, chooses a provenance and reaches a verdict; pure."""
