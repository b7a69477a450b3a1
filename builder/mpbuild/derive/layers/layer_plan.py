"""The plan of a layer: the function that derives it, and its inputs."""

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.formats.archive import gzip

WHEELS, DEBS, FILES, STORED = "wheel-layer", "deb-layer", "files-layer", "stored-layer"
BYTECODE = "bytecode-layer"

BYTECODE_FILE = "bytecode.tar"
"""The only output of the action that compiles an environment, and the only input of its layer."""


class Leaf(msgspec.Struct, frozen=True, tag=True):
    """A blob that no derive function makes, by its kind and name.

    ``kind`` is ``source`` (a file of the workspace), ``runtime`` (a file of mpbuild_runtime),
    ``step`` (``NAME/OUTPUT``), ``bytecode`` (``ACCELERATOR/bytecode.tar``), ``pex`` (the
    bootstrap of a PEX), ``lock`` (a lock file's name) or ``spec`` (the canonical core spec).
    """

    kind: str
    name: str


class LayerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A layer whose leaves may not be known yet.

    ``inputs`` maps the name of a file, as the function sees it (the file name of a wheel or Debian
    package, or a path in the image), to the digest of an input or to a leaf. ``executable`` lists
    the inputs with the executable bit. ``title`` is for display.
    """

    rule: str
    title: str
    version: int = 1
    inputs: dict[str, Digest | Leaf]
    executable: tuple[str, ...] = ()
    parameters: dict[str, str | bool] = {}
    codec: str = gzip.CODEC

    @property
    def tools(self) -> dict[str, str]:
        """The tools of the action that derives the layer."""
        return {"codec": self.codec}
