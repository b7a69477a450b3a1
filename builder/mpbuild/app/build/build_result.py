"""The result of a build, as data for the memo; imports little, because the memo uses it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.label import Label


class BuiltPackage(NamedTuple):
    """The package: the digest of its index, its size with all blobs in bytes."""

    digest: Digest
    size: int
    partial: bool


class BuiltChild(NamedTuple):
    """An image or a PEX of the package, and the size of its blobs in bytes."""

    accelerator: Accelerator
    digest: Digest
    size: int


class BuiltModel(NamedTuple):
    """The model artifact of the package."""

    digest: Digest
    size: int


class ActionCounts(NamedTuple):
    """How many actions the build had, and how many of them ran or were cached."""

    total: int
    run: int
    cached: int


class BuildResult(NamedTuple):
    """The result for one target; ``record`` is the path of the build's record."""

    label: Label
    package: BuiltPackage
    images: tuple[BuiltChild, ...]
    pex: tuple[BuiltChild, ...]
    model: BuiltModel
    hermetic: bool
    record: str
    actions: ActionCounts
    seconds: float

    @property
    def unchanged(self) -> "BuildResult":
        """The result of the same build again, which runs nothing."""
        total = self.actions.total
        return self._replace(actions=ActionCounts(total, 0, total))


def decode_result(data: Mapping[str, Any]) -> BuildResult:
    """Reads a result from JSON data; raises LookupError, TypeError, ValueError or InputError."""
    package, model, actions = data["package"], data["model"], data["actions"]
    return BuildResult(
        label=Label(data["label"]),
        package=BuiltPackage(
            Digest(package["digest"]), int(package["size"]), bool(package["partial"])
        ),
        images=tuple(map(_child, data["images"])),
        pex=tuple(map(_child, data["pex"])),
        model=BuiltModel(Digest(model["digest"]), int(model["size"])),
        hermetic=bool(data["hermetic"]),
        record=str(data["record"]),
        actions=ActionCounts(*(int(actions[name]) for name in ActionCounts._fields)),
        seconds=float(data["seconds"]),
    )


def _child(data: Mapping[str, Any]) -> BuiltChild:
    return BuiltChild(Accelerator(data["accelerator"]), Digest(data["digest"]), int(data["size"]))
