"""Computes the paths at which wheels are installed, as `wheel_layer` does."""

from mpbuild.audit.read_wheel_facts import WheelContents
from mpbuild.audit.wheel_facts import MemberFacts
from mpbuild.base import image_paths
from mpbuild.derive.layers.wheel_layer import destination

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")


def installed(contents: WheelContents, name: str, python: str) -> dict[str, MemberFacts]:
    """Returns the files of the wheel of package ``name`` by their paths in the image.

    Excludes scripts that installers generate. Raises InputError (layer-unsafe) for a file outside
    of every installation scheme.
    """
    left_out = {f"{contents.dist_info}/{own}" for own in _SIGNATURES}
    return {
        destination(name, contents.dist_info, member, python)[1]: file
        for member, file in contents.files.items()
        if member not in left_out
    }


def script(name: str) -> str:
    """Returns the path of an entry point's script."""
    return f"{image_paths.VENV}/bin/{name}"
