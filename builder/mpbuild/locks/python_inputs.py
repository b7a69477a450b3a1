"""The resolution inputs of a Python lock: pure data with a digest, for offline drift checks."""

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
    """All inputs of a Python lock, in canonical order.

    ``indexes`` has the name of the default index, then ``NAME: PATTERN...`` for those that own
    packages. ``overrides`` replace requirements of packages. ``union`` has the requirements of all
    accelerators if there are several, since each can affect the shared packages.
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
        """The digest of the inputs as canonical JSON."""
        return canonical.digest(plain(self))

    def index_of(self, name: str) -> str:
        """Returns the index that owns the package ``name``."""
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
    """Returns the canonical inputs for an environment on a base of the Debian ``suite``.

    ``owners`` maps indexes to the patterns of the packages that they own. Raises InputError for an
    invalid requirement, a requirement by URL, or a Python that the suite lacks.
    """
    known = _SUITES.get(suite)
    if known is None:
        names = " and ".join(sorted(_SUITES))
        raise InputError(
            f"the Debian suite {suite!r} is not supported yet",
            code=Code.NOT_SUPPORTED_YET,
            hint=f"supported suites: {names}",
        )
    if python != known[0]:
        raise InputError(
            f"{suite} has no Python {python}",
            hint=f"Debian {suite} has Python {known[0]}; choose it, or another base",
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
            f"{text!r} is not a requirement: {first}", hint="write it like numpy>=2"
        ) from error
    if "\\" in text:
        # It could escape a line end in a marker; resolvers read one requirement a line.
        raise InputError(f"{text!r} contains a backslash")
    if requirement.url:
        raise InputError(
            f"{text!r} names a URL",
            hint="locks contain no URLs: add the wheel to an index and name its version",
        )
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)
