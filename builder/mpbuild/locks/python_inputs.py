"""What a Python lock is resolved from: pure data with a digest, so that drift shows offline."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.python.pylock import FORMAT
from mpbuild.spec import index_ownership

_SUITES = {"bookworm": ("3.11", "2.36"), "trixie": ("3.13", "2.41")}


class PythonInputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that a Python lock is resolved from, and nothing else, in one order.

    ``indexes`` are the name of the default one, then ``NAME: PATTERN...`` of those that own
    packages. ``overrides`` replace what packages ask for. ``union`` holds the requirements of all
    accelerators where there are several: whatever one of them adds can move what the others share.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    python: str
    glibc: str
    indexes: tuple[str, ...]
    platform: str
    format: int
    union: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @property
    def digest(self) -> Digest:
        """The digest of the canonical JSON of the inputs."""
        return canonical.digest(plain(self))

    def index_of(self, name: str) -> str:
        """The index that the package ``name`` must come from."""
        default, *owning = self.indexes
        owners = {index: patterns.split() for index, _, patterns in map(_split, owning)}
        return index_ownership.owner(owners, name) or default


def inputs(
    requirements: Iterable[str],
    *,
    python: str,
    suite: str,
    constraints: Iterable[str] = (),
    overrides: Iterable[str] = (),
    union: Iterable[str] = (),
    owners: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> PythonInputs:
    """The canonical inputs for an environment on a base of the Debian ``suite``.

    ``owners`` are indexes by name with the patterns of the packages that they own. Raises
    InputError where a requirement is none or names an address, and where the suite has another
    Python.
    """
    known = _SUITES.get(suite)
    if known is None:
        names = " and ".join(sorted(_SUITES))
        raise InputError(
            f"the Debian suite {suite!r} is not supported yet",
            code=Code.NOT_SUPPORTED_YET,
            hint=f"the suites whose Python and glibc are known: {names}",
        )
    if python != known[0]:
        raise InputError(
            f"{suite} has no Python {python}",
            hint=f"Debian {suite} comes with Python {known[0]}; choose it, or another base",
        )
    owning = [f"{name}: {' '.join(sorted(owners[name]))}" for name in sorted(owners)]
    return PythonInputs(
        requirements=_canonical(requirements),
        constraints=_canonical(constraints),
        python=python,
        glibc=known[1],
        indexes=("default", *owning),
        platform="linux/amd64",
        format=FORMAT,
        union=_canonical(union),
        overrides=_canonical(overrides),
    )


def _split(owning: str) -> tuple[str, str, str]:
    return owning.partition(": ")


def _canonical(requirements: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({_requirement(text) for text in requirements}))


def _requirement(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        first = str(error).split("\n", 1)[0]
        raise InputError(
            f"{text!r} is not a requirement: {first}", hint="write it as in numpy>=2"
        ) from error
    if "\\" in text:
        # A marker could hold a line end so, and what resolvers read is a line a requirement.
        raise InputError(f"{text!r} has a backslash in it")
    if requirement.url:
        raise InputError(
            f"{text!r} names an address",
            hint="locks hold no addresses: put the wheel into an index and name its version",
        )
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)
