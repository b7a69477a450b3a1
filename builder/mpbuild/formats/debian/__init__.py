"""Debian formats: binary packages, control data, package indexes, Debian locks."""
