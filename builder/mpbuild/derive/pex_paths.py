"""The paths in a PEX of the files that it shares with the image."""

from collections.abc import Mapping

from mpbuild.base import image_paths
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError


def pex_paths(files: Mapping[str, Digest], accelerator: Accelerator) -> dict[str, Digest]:
    """The files of an image that its PEX has too, by their paths in the PEX.

    Code and runtime are at their import paths, weights and files in folders of these names, the
    spec and the lock of ``accelerator`` at the top. Raises InputError where a file or folder of
    the code would share a name with another of these.
    """
    found: dict[str, Digest] = {}
    roots: dict[str, str] = {}
    for path, digest in files.items():
        root, place = _pex_path(path, accelerator)
        first = place.partition("/")[0]
        if place and roots.setdefault(first, root) != root:
            raise InputError(
                f"the PEX would have both code and other files in {first}",
                where=f"/{path}",
                hint=f"rename {first} in core.sources",
            )
        if place:
            found[place] = digest
    return found


def _pex_path(path: str, accelerator: Accelerator) -> tuple[str, str]:
    """The root folder of a file in an image and its path in the PEX; both empty if it has none.

    No folder of the PEX mixes files of two roots, because each is an import root there.
    """
    lock = f"pylock.{accelerator}.toml"
    if path == f"{image_paths.LOCKS}/{lock}":
        return image_paths.MODEL, lock
    if path == image_paths.ENTRY_POINT or path.startswith(f"{image_paths.LOCKS}/"):
        return "", ""
    for root in (image_paths.SOURCES, image_paths.RUNTIME, image_paths.MODEL):
        if path.startswith(f"{root}/"):
            return root, path.removeprefix(f"{root}/")
    return "", ""
