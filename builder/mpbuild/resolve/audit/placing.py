"""Where the files of wheels come to stand: the same places as derive/wheel_layer.py gives them."""

from mpbuild.derive import places
from mpbuild.derive.wheel_layer import destination
from mpbuild.resolve.audit.facts import File
from mpbuild.resolve.audit.reading import Contents

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")


def installed(contents: Contents, name: str, python: str) -> dict[str, File]:
    """The files that the wheel of package ``name`` brings, by their paths in the image.

    Scripts that an installer makes are not among them. Raises InputError (layer-unsafe) where a
    file is of no installation scheme.
    """
    left_out = {f"{contents.dist_info}/{own}" for own in _SIGNATURES}
    return {
        destination(name, contents.dist_info, member, python)[1]: file
        for member, file in contents.files.items()
        if member not in left_out
    }


def script(name: str) -> str:
    """Where the script of an entry point comes to stand."""
    return f"{places.VENV}/bin/{name}"
