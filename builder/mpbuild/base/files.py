"""A file of the workspace, as a build sees it."""

import msgspec

from mpbuild.base.digest import Digest


class WorkspaceFile(msgspec.Struct, frozen=True):
    """A file: path relative to the workspace, digest of its bytes, executable bit."""

    path: str
    digest: Digest
    executable: bool = False
