"""The toolchain: the locked environment that mpbuild's own actions run in."""

import msgspec

from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.spec.vocabulary import Suite
from mpbuild.spec.workspace import Base

NAME = "toolchain"
REQUIREMENTS = ("pex==2.105.2",)
# The base of most models, so that they share its layer.
BASE = Base(
    suite=Suite.BOOKWORM,
    packages=(
        *("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgcc-s1"),
        *("ca-certificates", "tzdata"),
    ),
)


class Toolchain(msgspec.Struct, frozen=True):
    """The locks of the toolchain, and the bytes of their files by name."""

    locks: EnvironmentLocks
    files: dict[str, bytes]
