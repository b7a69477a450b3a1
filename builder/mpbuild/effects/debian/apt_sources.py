"""The Debian mirrors that this machine's apt uses (sources.list(5), both formats).

``{snapshot}`` in an address stands for the moment of a base's snapshot; without one such an
address leads nowhere and is passed over.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.formats.debian.control import read_paragraphs

_VARIABLE = "MPBUILD_DEBIAN_MIRROR"
_SECURITY_VARIABLE = "MPBUILD_DEBIAN_SECURITY_MIRROR"
_SNAPSHOT = "{snapshot}"
_FOLDER = Path("/etc/apt")
_ONE_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)")
_SCHEME = re.compile(r"(?:https?|file)://?.+")
# bookworm-security is of one other archive, bookworm-backports and the like of others still.
_PLAIN_SUITE = re.compile(r"[a-z]+")
_SECURITY_SUITE = re.compile(r"[a-z]+-security")


def mirrors(
    configured: Sequence[str],
    environ: Mapping[str, str],
    *,
    snapshot: str = "",
    folder: Path = _FOLDER,
) -> tuple[str, ...]:
    """Roots of the Debian archive, best first, without a slash at the end.

    ``configured`` ones, else those in MPBUILD_DEBIAN_MIRROR (by spaces), else apt's in
    ``folder``. An archive holds all suites, so whatever release this machine runs, its mirror
    serves. Raises EnvironmentFailureError where there is none.
    """
    usable = [_at(root, snapshot) for root in _roots(configured, environ, folder)]
    if not any(usable):
        raise EnvironmentFailureError(
            "no Debian mirror is known",
            hint=f"give `mirrors` in the base in mpbuild.toml, or set {_VARIABLE}",
        )
    return _distinct(usable)


def security_mirrors(
    configured: Sequence[str],
    main: Sequence[str],
    environ: Mapping[str, str],
    *,
    snapshot: str = "",
    folder: Path = _FOLDER,
) -> tuple[str, ...]:
    """Roots of the archive of security updates, best first, without a slash at the end.

    ``configured`` ones, else those in MPBUILD_DEBIAN_SECURITY_MIRROR, else apt's in ``folder``,
    else what stands beside each mirror of ``main``, the configured ones of the archive itself, as
    debian-security stands beside debian.
    """
    found = (
        list(configured)
        or environ.get(_SECURITY_VARIABLE, "").split()
        or list(_from_apt(folder, _SECURITY_SUITE))
    )
    usable = [_at(root, snapshot) for root in found if _SCHEME.fullmatch(root)]
    beside = (_at(_beside(root), snapshot) for root in _roots(main, environ, folder))
    return _distinct(usable if any(usable) else beside)


def _roots(configured: Sequence[str], environ: Mapping[str, str], folder: Path) -> list[str]:
    found = list(configured) or environ.get(_VARIABLE, "").split()
    found = found or list(_from_apt(folder, _PLAIN_SUITE))
    return [root for root in found if _SCHEME.fullmatch(root)]


def _at(root: str, snapshot: str) -> str:
    """The address of ``root`` at a moment; empty where it asks for one and there is none."""
    if _SNAPSHOT in root and not snapshot:
        return ""
    return root.replace(_SNAPSHOT, snapshot).rstrip("/")


def _beside(root: str) -> str:
    """The sibling of an archive: a snapshot's moment stands below both of their names."""
    name, slash, moment = root.rstrip("/").partition(f"/{_SNAPSHOT}")
    return f"{name}-security{slash}{moment}"


def _distinct(roots: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(root for root in roots if root))


def _from_apt(folder: Path, suite: re.Pattern[str]) -> Iterator[str]:
    parts = folder / "sources.list.d"
    files = sorted(parts.iterdir()) if parts.is_dir() else []
    for file in (folder / "sources.list", *files):
        if file.suffix in (".list", ".sources") and file.is_file():
            yield from _in_file(file, suite)


def _in_file(file: Path, suite: re.Pattern[str]) -> Iterator[str]:
    """What apt itself could not read is passed over: it is not ours to judge."""
    try:
        text = file.read_text("utf-8")
        sources = _deb822(text) if file.suffix == ".sources" else _one_line(text)
        for source in sources:
            if source.is_debian and any(map(suite.fullmatch, source.suites)):
                yield from source.uris
    except (OSError, UnicodeDecodeError, InputError):
        return


class _Source(NamedTuple):
    uris: Sequence[str]
    suites: Sequence[str]
    components: Sequence[str]
    keys: str

    @property
    def is_debian(self) -> bool:
        """Whether it can be an archive of Debian's; its signature decides later whether it is."""
        keys = Path(self.keys.strip()).name
        return "main" in self.components and (not keys or keys.startswith("debian-archive"))


def _one_line(text: str) -> Iterator[_Source]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.split("#", 1)[0].strip())
        if match:
            options, uri, suite, components = match.groups()
            keys = re.search(r"signed-by=(\S+)", options or "")
            yield _Source([uri], [suite], components.split(), keys.group(1) if keys else "")


def _deb822(text: str) -> Iterator[_Source]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for source in read_paragraphs("\n".join(lines)):
        uris, suites, components, types = (
            source.get(field, "").split() for field in ("uris", "suites", "components", "types")
        )
        enabled = source.get("enabled", "yes").lower() not in ("no", "false", "0", "off")
        if enabled and "deb" in types:
            yield _Source(uris, suites, components, source.get("signed-by", ""))
