"""The record of a build: what ran, on what, with which result. Version ``mpbuild.record/1``.

It stays with whoever built (it has times in it) and is what statements are made from.
"""

from typing import Literal

import msgspec

from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label

SCHEMA = "mpbuild.record/1"


class RepositoryState(msgspec.Struct, frozen=True):
    """The state of the workspace's repository; no commit where there is no repository."""

    commit: str | None
    dirty: bool


class ActionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One action: its key and data, where the result came from, and when it ran (seconds)."""

    name: str
    key: Digest
    rule: str
    version: int
    inputs: dict[str, Digest]
    root: tuple[Digest, ...]
    command: tuple[str, ...]
    outputs: dict[str, Digest]
    diff_id: Digest | None
    result: Literal["run", "cached"]
    sandboxed: bool
    started: float
    finished: float


class RecordedInput(msgspec.Struct, frozen=True, order=True):
    """A file that was fetched: ``wheel``, ``debian`` or ``weights``, its name and its bytes."""

    kind: str
    name: str
    digest: Digest


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One build of one target.

    ``images`` and ``pex`` are the package's children by accelerator, ``model`` its model artifact;
    ``leaves`` are digests by kind and name (``lock:pylock.cpu.toml``), as far as no action made
    them. ``hermetic`` says that every action was either a pure function or kept from everything
    undeclared by a sandbox.
    """

    mpbuild: str
    label: Label
    package: Digest
    images: dict[str, Digest]
    pex: dict[str, Digest]
    model: Digest
    partial: bool
    source: RepositoryState
    hermetic: bool
    leaves: dict[str, Digest]
    inputs: tuple[RecordedInput, ...]
    actions: tuple[ActionRecord, ...]
    started: float
    finished: float
    schema: str = SCHEMA

    @property
    def digest(self) -> Digest:
        """What names this build."""
        return Digest.of(encode(self))

    @property
    def accelerators(self) -> tuple[str, ...]:
        """What was built for."""
        return tuple(self.images)


def encode(record: Record) -> bytes:
    """The canonical JSON of a record."""
    return canonical.encode(plain(record))


def decode(data: bytes) -> Record:
    """The inverse; raise InputError (content-mismatch) on anything else."""
    record = typed(canonical.decode(data), Record)
    if record.schema != SCHEMA:
        raise InputError(
            f"not a record of this version: {record.schema}", code=Code.CONTENT_MISMATCH
        )
    return record
