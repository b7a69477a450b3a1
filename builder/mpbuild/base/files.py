"""A file of a workspace, as a build sees it."""

import msgspec

from mpbuild.base.digest import Digest


class WorkspaceFile(msgspec.Struct, frozen=True):
    """A path from the workspace's root, the digest of the bytes there, and the executable bit."""

    path: str
    digest: Digest
    executable: bool = False
