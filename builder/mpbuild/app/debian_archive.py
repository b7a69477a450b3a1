"""Debian archives as bases name them: read once for everything that stands on one."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mpbuild.app.locks import Environment
from mpbuild.base.errors import Finding, Severity
from mpbuild.effects import debian as archive
from mpbuild.effects.apt import mirrors, security_mirrors
from mpbuild.effects.web import Web
from mpbuild.formats.debindex import Packages
from mpbuild.formats.deblock import DebianLock
from mpbuild.resolve import debian
from mpbuild.spec.workspace import Base


class DebianArchives:
    """What archives offer, fetched and checked when it is first asked for."""

    def __init__(self, web: Web, now: datetime | None = None) -> None:
        self._web = web
        self._now = now or datetime.now(UTC)
        self._indexes: dict[tuple[str, archive.Archive, str], Packages] = {}

    def lock(
        self,
        environments: Sequence[Environment],
        previous: Mapping[str, DebianLock],
        fresh: Collection[str] = (),
    ) -> dict[str, DebianLock]:
        """The Debian locks of a target's environments, those of one base together.

        What ``previous`` ones have stays where it can, except the packages ``fresh``.
        """
        found: dict[str, DebianLock] = {}
        for base in dict.fromkeys(environment.base for environment in environments):
            group = {e.name: e for e in environments if e.base == base}
            found |= debian.lock(
                {name: environment.debian for name, environment in group.items()},
                index=self._packages(next(iter(group.values()))),
                previous={name: lock for name, lock in previous.items() if name in group},
                fresh=fresh,
            )
        return found

    def outdated(self, environment: Environment, lock: DebianLock) -> Iterator[Finding]:
        """What the archive has that is newer than ``lock``: lock-outdated, no errors.

        A warning for security updates, a note for the rest. That what is gone would move is drift.
        """
        found = debian.newer(lock, self._packages(environment))
        updates = [one for one in found if one.security]
        others = [one for one in found if not one.security and not one.gone]
        where = environment.where(environment.debian_file)
        if updates:
            yield _outdated("security updates wait", updates, where, "warning")
        if others:
            yield _outdated("newer versions are there", others, where, "note")

    def _packages(self, environment: Environment) -> Packages:
        base = environment.base
        place = archive.Archive(
            debian_mirrors(base),
            debian_security_mirrors(base) if base.security else (),
            archive.moment(base.snapshot) if base.snapshot else None,
        )
        key = (base.suite, place, base.keyring or "")
        if key not in self._indexes:
            keyring = _keyring(environment.root, base.keyring, base.suite)
            self._indexes[key] = archive.packages(
                base.suite, place, keyring=keyring, now=self._now, web=self._web
            )
        return self._indexes[key]


def debian_mirrors(base: Base | None) -> tuple[str, ...]:
    """Roots of the archive of a base; without one those that this machine has."""
    configured, snapshot = (base.mirrors, base.snapshot) if base else ((), None)
    return mirrors(configured, os.environ, snapshot=snapshot or "")


def debian_security_mirrors(base: Base | None) -> tuple[str, ...]:
    """Roots of the archive of security updates of a base; without one the machine's."""
    if base is None:
        return security_mirrors((), (), os.environ)
    return security_mirrors(
        base.security_mirrors, base.mirrors, os.environ, snapshot=base.snapshot or ""
    )


def _outdated(what: str, found: Sequence[debian.Newer], where: str, severity: Severity) -> Finding:
    told = ", ".join(f"{one.name} {one.offered} for {one.locked}" for one in found)
    hint = "run `mpbuild lock --upgrade`, with =PACKAGE for one of them"
    return Finding("lock-outdated", f"{what}: {told}", where, hint, severity)


def _keyring(root: Path, own: str | None, suite: str) -> bytes:
    return archive.read_keyring(root / own) if own else archive.shipped_keyring(suite)
