"""What is to be fetched, and what is told where something else comes; imports little."""

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.urls import shown


class FileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A file to get: what to call it in messages, where it may be, best first, and what it is."""

    name: str
    urls: tuple[str, ...]
    digest: Digest
    size: int


def mismatch(message: str, url: str) -> EnvironmentFailureError:
    """The content-mismatch of a server whose file isn't the one that a request says."""
    return EnvironmentFailureError(
        message,
        where=shown(url),
        code=Code.CONTENT_MISMATCH,
        hint="the server gives another file than the one that was locked; it is not used",
    )
