"""Finds the index that owns a package: the one with the most specific pattern."""

from collections.abc import Iterable, Mapping


def owner(owners: Mapping[str, Iterable[str]], name: str) -> str:
    """Returns the owner of the package ``name`` among ``owners``, patterns by index; else empty.

    A pattern is a normalized name, or a prefix followed by ``*``. An exact name takes precedence
    over a prefix, a longer prefix over a shorter one.
    """
    ranked = [
        (_closeness(pattern, name), index)
        for index, patterns in owners.items()
        for pattern in patterns
    ]
    best = max(ranked, default=(0, ""))
    return best[1] if best[0] else ""


def owns(patterns: Iterable[str], name: str) -> bool:
    """Whether a pattern matches the package."""
    return any(_closeness(pattern, name) for pattern in patterns)


def _closeness(pattern: str, name: str) -> int:
    if not pattern.endswith("*"):
        return len(name) + 2 if pattern == name else 0
    return len(pattern) if name.startswith(pattern[:-1]) else 0
