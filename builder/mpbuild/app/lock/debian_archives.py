"""Reads the Debian archives of bases, once for all environments on a base."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mpbuild.app.lock.lock_files import LockEnvironment
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, Severity
from mpbuild.effects.debian import signed_archive
from mpbuild.effects.debian.apt_sources import mirrors, security_mirrors
from mpbuild.effects.http.client import HttpClient
from mpbuild.formats.debian.deblock import DebianLock
from mpbuild.formats.debian.packages_index import PackagesIndex
from mpbuild.locks import debian_lock
from mpbuild.spec.workspace import Base


class DebianArchives:
    """The indexes of archives, fetched and verified on demand."""

    def __init__(self, web: HttpClient, now: datetime | None = None) -> None:
        self._web = web
        self._now = now or datetime.now(UTC)
        self._indexes: dict[tuple[str, signed_archive.ArchiveMirrors, str], PackagesIndex] = {}

    def lock(
        self,
        environments: Sequence[LockEnvironment],
        previous: Mapping[str, DebianLock],
        fresh: Collection[str] = (),
    ) -> dict[str, DebianLock]:
        """Locks the Debian packages of a target's environments, those of one base together.

        Keeps versions of ``previous`` locks if possible, except for packages in ``fresh``.
        """
        found: dict[str, DebianLock] = {}
        for base in dict.fromkeys(environment.base for environment in environments):
            group = {e.name: e for e in environments if e.base == base}
            found |= debian_lock.lock(
                {name: environment.debian for name, environment in group.items()},
                index=self._packages(next(iter(group.values()))),
                previous={name: lock for name, lock in previous.items() if name in group},
                fresh=fresh,
            )
        return found

    def outdated(self, environment: LockEnvironment, lock: DebianLock) -> Iterator[Finding]:
        """Yields packages with newer versions than in ``lock``: lock-outdated.

        Security updates are warnings, others notes. Packages that are gone are drift.
        """
        found = debian_lock.newer(lock, self._packages(environment))
        updates = [one for one in found if one.security]
        others = [one for one in found if not one.security and not one.gone]
        where = environment.where(environment.debian_file)
        if updates:
            yield _outdated("security updates are available", updates, where, "warning")
        if others:
            yield _outdated("newer versions are available", others, where, "note")

    def _packages(self, environment: LockEnvironment) -> PackagesIndex:
        base = environment.base
        place = signed_archive.ArchiveMirrors(
            debian_mirrors(base),
            debian_security_mirrors(base) if base.security else (),
            signed_archive.moment(base.snapshot) if base.snapshot else None,
        )
        key = (base.suite, place, base.keyring or "")
        if key not in self._indexes:
            keyring = _keyring(environment.root, base.keyring, base.suite)
            self._indexes[key] = signed_archive.packages(
                base.suite, place, keyring=keyring, now=self._now, web=self._web
            )
        return self._indexes[key]


def debian_mirrors(base: Base | None) -> tuple[str, ...]:
    """The roots of a base's archive; without a base, this machine's."""
    configured, snapshot = (base.mirrors, base.snapshot) if base else ((), None)
    return mirrors(configured, os.environ, snapshot=snapshot or "")


def debian_security_mirrors(base: Base | None) -> tuple[str, ...]:
    """The roots of a base's archive of security updates; without a base, this machine's."""
    if base is None:
        return security_mirrors((), (), os.environ)
    return security_mirrors(
        base.security_mirrors, base.mirrors, os.environ, snapshot=base.snapshot or ""
    )


def _outdated(
    message: str, found: Sequence[debian_lock.OutdatedPackage], where: str, severity: Severity
) -> Finding:
    versions = ", ".join(f"{one.name} {one.offered} for {one.locked}" for one in found)
    hint = "run `mpbuild lock --upgrade`, with =PACKAGE for one of them"
    return Finding(Code.LOCK_OUTDATED, f"{message}: {versions}", where, hint, severity)


def _keyring(root: Path, own: str | None, suite: str) -> bytes:
    return signed_archive.read_keyring(root / own) if own else signed_archive.shipped_keyring(suite)
