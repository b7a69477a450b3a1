"""Reads the locks and documents of an untrusted package, within bounds."""

from collections.abc import Mapping

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.store.store import Store
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock


def read_lock_pair(files: Mapping[str, Digest], environment: str, store: Store) -> EnvironmentLocks:
    """Reads the two locks of an environment; ``files`` maps names of locks to digests.

    Raises InputError if one is missing or not in canonical form.
    """
    python_file, debian_file = f"pylock.{environment}.toml", f"debian.{environment}.toml"
    python_text = _lock(files, python_file, store)
    debian_text = _lock(files, debian_file, store)
    pair = EnvironmentLocks(
        pylock.read(python_text, file=python_file), deblock.read(debian_text, file=debian_file)
    )
    if (pylock.write(pair.python), deblock.write(pair.debian)) != (python_text, debian_text):
        raise _malformed(environment, "the lock is not in canonical form")
    if {pair.python.environment, pair.debian.environment} != {environment}:
        raise _malformed(environment, "the lock is for another environment")
    return pair


def _lock(files: Mapping[str, Digest], name: str, store: Store) -> str:
    if name not in files:
        raise InputError(f"the package has no lock {name}", code=Code.CONTENT_MISSING)
    data = read_document(files[name], limits.PACKAGED_LOCK_BYTES, store)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _malformed(name, "the lock is not UTF-8") from error


def read_document(digest: Digest, limit: int, store: Store) -> bytes:
    """Reads a blob of the store; raises InputError (content-mismatch) beyond ``limit`` bytes."""
    size = store.size(digest)
    if size > limit:
        raise InputError(
            f"{digest} has {size} bytes; at most {limit} are allowed", code=Code.CONTENT_MISMATCH
        )
    return store.read(digest)


def _malformed(where: str, message: str) -> InputError:
    return InputError(message, where=where, code=Code.LOCK_MALFORMED)
