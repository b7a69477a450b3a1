"""Requests for files by digest; imports little."""

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.urls import shown


class FileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A file to download: its name in messages, its URLs, best first, its digest and its size."""

    name: str
    urls: tuple[str, ...]
    digest: Digest
    size: int


def mismatch(message: str, url: str) -> EnvironmentFailureError:
    """Returns the content-mismatch error for a server that has another file."""
    return EnvironmentFailureError(
        message,
        where=shown(url),
        code=Code.CONTENT_MISMATCH,
        hint="the server has another file than the locked one; it was discarded",
    )
