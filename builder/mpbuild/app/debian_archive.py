"""Debian archives as bases name them: read once for everything that stands on one."""

import os
from datetime import UTC, datetime
from pathlib import Path

from mpbuild.app.locks import Environment
from mpbuild.effects import debian as archive
from mpbuild.effects.apt import mirrors
from mpbuild.effects.web import Web
from mpbuild.formats.debindex import Packages
from mpbuild.formats.deblock import DebianLock
from mpbuild.resolve import debian


class DebianArchives:
    """What archives offer, fetched and checked when it is first asked for."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._indexes: dict[tuple[str, tuple[str, ...], str], Packages] = {}

    def lock(self, environment: Environment, previous: DebianLock | None) -> DebianLock:
        """The environment's Debian lock, resolved anew."""
        return debian.lock(
            environment.debian,
            environment=environment.name,
            index=self._packages(environment),
            previous=previous,
        )

    def _packages(self, environment: Environment) -> Packages:
        base = environment.base
        found = mirrors(base.mirrors, os.environ)
        key = (base.suite, found, base.keyring or "")
        if key not in self._indexes:
            self._indexes[key] = archive.packages(
                base.suite,
                found,
                keyring=_keyring(environment.root, base.keyring, base.suite),
                now=datetime.now(UTC),
                web=self._web,
            )
        return self._indexes[key]


def _keyring(root: Path, own: str | None, suite: str) -> bytes:
    return archive.read_keyring(root / own) if own else archive.shipped_keyring(suite)
