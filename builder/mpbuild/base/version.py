"""Semantic versions (semver.org 2.0.0)."""

import re
from typing import Self

from mpbuild.base.errors import InputError

_NUMBER = r"(?:0|[1-9]\d*)"
_LABEL = rf"(?:{_NUMBER}|\d*[A-Za-z-][0-9A-Za-z-]*)"
_FORM = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-({_LABEL}(?:\.{_LABEL})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


class Version(str):
    """``MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]``, ordered by precedence (section 11)."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raise InputError where ``text`` is not a semantic version."""
        if not _FORM.fullmatch(text):
            raise InputError(
                f"not a semantic version: {text[:80]!r}",
                hint="write MAJOR.MINOR.PATCH, such as 1.4.0",
            )
        return super().__new__(cls, text)

    @property
    def release(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        major, minor, patch = self._parts[:3]
        return int(major), int(minor), int(patch)

    @property
    def _parts(self) -> tuple[str, ...]:
        match = _FORM.fullmatch(self)
        assert match is not None, "checked when made"
        return match.group(1), match.group(2), match.group(3), match.group(4) or ""

    @property
    def _precedence(self) -> tuple[tuple[int, int, int], bool, list[tuple[bool, int, str]]]:
        prerelease = self._parts[3]
        identifiers = prerelease.split(".") if prerelease else []
        return (
            self.release,
            not prerelease,
            [(not i.isdigit(), int(i) if i.isdigit() else 0, i) for i in identifiers],
        )

    def __lt__(self, other: str) -> bool:
        """By precedence; build metadata doesn't count."""
        return self._precedence < Version(other)._precedence

    def __le__(self, other: str) -> bool:
        """Not above ``other``."""
        return not self > other

    def __gt__(self, other: str) -> bool:
        """By precedence, the other way."""
        return Version(other) < self

    def __ge__(self, other: str) -> bool:
        """Not below ``other``."""
        return not self < other
