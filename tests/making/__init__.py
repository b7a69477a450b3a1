"""Makes what tests need: archives, wheels, packages, ELF files, locks, indexes, the example.

Nothing here uses a writer or reader of mpbuild, except where a lock is written: the formats come
from the standard library or are packed byte by byte, so that a test compares two implementations.
Each module writes one format, sound by default; arguments make it unsound.
"""
