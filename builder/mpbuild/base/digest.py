"""The digest that names every input, leaf and derived blob.

No other module computes sha256. The form is that of the OCI image specification ("Descriptors",
section "Digests"), restricted to sha256.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Self

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError

_FORM = re.compile(r"sha256:[0-9a-f]{64}")

Buffer = bytes | bytearray | memoryview


class Digest(str):
    """``sha256:`` and 64 lower-case hexadecimal digits."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises InputError (content-mismatch) for any other form."""
        if not _FORM.fullmatch(text):
            raise InputError(
                f"not a digest: {text[:80]!r}",
                code=Code.CONTENT_MISMATCH,
                hint="a digest is sha256: and 64 lower-case hexadecimal digits",
            )
        return super().__new__(cls, text)

    @property
    def hex(self) -> str:
        """The 64 digits without the algorithm."""
        return self[7:]

    @classmethod
    def from_hex(cls, digits: str) -> Self:
        """The digest with these 64 digits."""
        return cls("sha256:" + digits)

    @classmethod
    def of(cls, data: Buffer) -> Self:
        """The digest of ``data``."""
        return cls.from_hex(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_chunks(cls, chunks: Iterable[Buffer]) -> "Digest":
        """The digest of the concatenation of ``chunks``."""
        hasher = Hasher()
        for chunk in chunks:
            hasher.write(chunk)
        return hasher.digest


class Hasher:
    """A sink that computes the digest and the size of its input."""

    __slots__ = ("_sha256", "size")

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: Buffer, /) -> None:
        """Takes the next bytes."""
        self._sha256.update(data)
        self.size += len(data)

    @property
    def digest(self) -> Digest:
        """The digest of all bytes so far."""
        return Digest.from_hex(self._sha256.hexdigest())


def verified(chunks: Iterable[Buffer], digest: Digest, size: int | None = None) -> Iterator[Buffer]:
    """Passes ``chunks`` through and checks them at their end.

    Raises InputError (content-mismatch) if their digest, or their size in bytes, is another.
    """
    hasher = Hasher()
    for chunk in chunks:
        hasher.write(chunk)
        yield chunk
    if hasher.digest != digest or size not in (None, hasher.size):
        raise InputError(f"content does not match its digest {digest}", code=Code.CONTENT_MISMATCH)
