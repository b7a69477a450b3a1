"""What is to be fetched; imports little."""

import msgspec

from mpbuild.base.digest import Digest


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A file to get: what to call it in messages, where it may be, best first, and what it is."""

    name: str
    urls: tuple[str, ...]
    digest: Digest
    size: int
