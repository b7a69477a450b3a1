"""Debian archives as bases name them: read once for everything that stands on one."""

import os
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mpbuild.app.locks import Environment
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

    def newer(self, environment: Environment, lock: DebianLock) -> tuple[debian.Newer, ...]:
        """The packages of an environment's ``lock`` that its archive has moved on from."""
        return debian.newer(lock, self._packages(environment))

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


def _keyring(root: Path, own: str | None, suite: str) -> bytes:
    return archive.read_keyring(root / own) if own else archive.shipped_keyring(suite)
