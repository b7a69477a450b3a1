"""Bounds on what is read from the layers of an untrusted package."""

from collections.abc import Iterator

import msgspec

from mpbuild.base import limits
from mpbuild.base.digest import Buffer
from mpbuild.formats.archive.unsafe import UnsafeError


class LayerBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on the entries of an image, and on the inflated size of each layer.

    A layer may inflate to ``factor`` times its size plus ``inflated`` bytes.
    """

    entries: int = limits.IMAGE_ENTRIES
    factor: int = limits.LAYER_INFLATION
    inflated: int = limits.LAYER_INFLATED_BYTES

    def bounded(self, chunks: Iterator[Buffer], size: int, *, where: str = "") -> Iterator[Buffer]:
        """Passes the inflated content of a layer of ``size`` bytes through; raises UnsafeError."""
        left = self.factor * size + self.inflated
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise UnsafeError("the layer inflates far beyond its size", where=where)
            yield chunk


DEFAULT_BOUNDS = LayerBounds()
