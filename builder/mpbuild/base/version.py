"""Semantic versions (semver.org 2.0.0)."""

import re
from typing import Self

from mpbuild.base.errors import InputError

_NUMBER = "(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
PATTERN = (
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
"""A regular expression for the whole version; Python and ECMA-262 read it alike."""

_FORM = re.compile(PATTERN)


class Version(str):
    """``MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]``, ordered by precedence (section 11)."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises InputError for a malformed version."""
        if not _FORM.fullmatch(text):
            raise InputError(
                f"not a semantic version: {text[:80]!r}",
                hint="write MAJOR.MINOR.PATCH, such as 1.4.0",
            )
        return super().__new__(cls, text)

    @property
    def release(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        core = self.partition("+")[0].partition("-")[0]
        major, minor, patch = map(int, core.split("."))
        return major, minor, patch

    @property
    def _precedence(self) -> tuple[tuple[int, int, int], bool, list[tuple[bool, int, str]]]:
        prerelease = self.partition("+")[0].partition("-")[2]
        identifiers = prerelease.split(".") if prerelease else []
        return (
            self.release,
            not prerelease,
            [(not i.isdigit(), int(i) if i.isdigit() else 0, i) for i in identifiers],
        )

    def __lt__(self, other: str) -> bool:
        """Compares precedence; build metadata doesn't count."""
        return self._precedence < Version(other)._precedence

    def __le__(self, other: str) -> bool:
        """Not above ``other``."""
        return not self > other

    def __gt__(self, other: str) -> bool:
        """Compares precedence."""
        return Version(other) < self

    def __ge__(self, other: str) -> bool:
        """Not below ``other``."""
        return not self < other
