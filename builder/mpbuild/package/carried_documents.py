"""Documents that a package carries, read with bounds: nobody vouches for them yet."""

from collections.abc import Mapping

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import image_layers
from mpbuild.effects.store.store import Store
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock

_LARGEST_LOCK = 4 << 20


def read_lock_pair(
    files: Mapping[str, Digest], environment: str, store: Store
) -> image_layers.EnvironmentLocks:
    """The two locks of an environment, of ``files`` by name; InputError where they aren't ours."""
    python_file, debian_file = f"pylock.{environment}.toml", f"debian.{environment}.toml"
    python_text = _lock(files, python_file, store)
    debian_text = _lock(files, debian_file, store)
    found = image_layers.EnvironmentLocks(
        pylock.read(python_text, file=python_file), deblock.read(debian_text, file=debian_file)
    )
    if (pylock.write(found.python), deblock.write(found.debian)) != (python_text, debian_text):
        raise _malformed(environment, "its text is not the one that mpbuild writes")
    if {found.python.environment, found.debian.environment} != {environment}:
        raise _malformed(environment, "it is that of another environment")
    return found


def _lock(files: Mapping[str, Digest], name: str, store: Store) -> str:
    if name not in files:
        raise InputError(f"the package has no lock {name}", code=Code.CONTENT_MISSING)
    data = read_document(files[name], _LARGEST_LOCK, store)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _malformed(name, "it is not UTF-8") from error


def read_document(digest: Digest, largest: int, store: Store) -> bytes:
    """A blob of the store; raise InputError (content-mismatch) where it is larger."""
    size = store.size(digest)
    if size > largest:
        raise InputError(
            f"{digest} has {size} bytes; {largest} are allowed", code=Code.CONTENT_MISMATCH
        )
    return store.read(digest)


def _malformed(where: str, message: str) -> InputError:
    return InputError(message, where=where, code=Code.LOCK_MALFORMED)
