"""Which index owns a package: the one whose patterns name it most closely."""

from collections.abc import Iterable, Mapping


def owner(owners: Mapping[str, Iterable[str]], name: str) -> str:
    """Who of ``owners``, index names to patterns, owns the package ``name``; empty where nobody.

    A pattern is a normal name, or the beginning of names with ``*`` after it. An exact name goes
    before any beginning, a longer beginning before a shorter one.
    """
    ranked = [
        (_closeness(pattern, name), index)
        for index, patterns in owners.items()
        for pattern in patterns
    ]
    best = max(ranked, default=(0, ""))
    return best[1] if best[0] else ""


def owns(patterns: Iterable[str], name: str) -> bool:
    """Whether one of ``patterns`` names the package."""
    return any(_closeness(pattern, name) for pattern in patterns)


def _closeness(pattern: str, name: str) -> int:
    if not pattern.endswith("*"):
        return len(name) + 2 if pattern == name else 0
    return len(pattern) if name.startswith(pattern[:-1]) else 0
