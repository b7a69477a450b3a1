"""Where the files of wheels are installed: the same paths as `wheel_layer` gives them."""

from mpbuild.audit.read_wheel_facts import WheelContents
from mpbuild.audit.wheel_facts import MemberFacts
from mpbuild.base import image_paths
from mpbuild.derive.layers.wheel_layer import destination

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")


def installed(contents: WheelContents, name: str, python: str) -> dict[str, MemberFacts]:
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
    return f"{image_paths.VENV}/bin/{name}"
