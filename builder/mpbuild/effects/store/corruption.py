"""Checks content of the store against its digest, and reports corruption in one way."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest, Hasher
from mpbuild.base.errors import InputError

_CHUNK = 1 << 20


def corrupt(digest: Digest, where: str = "") -> InputError:
    """The error for content that does not match ``digest`` (content-mismatch).

    ``where`` names the file that was read: a path in the store, or an input of an action.
    """
    return InputError(
        f"the store is corrupt: content does not match {digest}",
        where=where,
        hint="run `mpbuild store verify`, which removes corrupt blobs; then fetch or build again",
        code=Code.CONTENT_MISMATCH,
    )


def is_intact(path: Path, digest: Digest) -> bool:
    """Whether the file at ``path`` has that digest."""
    with path.open("rb") as file:
        return Digest.of_chunks(iter(lambda: file.read(_CHUNK), b"")) == digest


def intact(chunks: Iterable[Buffer], digest: Digest, where: str = "") -> Iterator[Buffer]:
    """Passes ``chunks`` through; raises at their end unless they have that digest."""
    hasher = Hasher()
    for chunk in chunks:
        hasher.write(chunk)
        yield chunk
    if hasher.digest != digest:
        raise corrupt(digest, where)
