"""Finds the Debian mirrors that this machine's apt uses (sources.list(5), both formats).

``{snapshot}`` in a URL is replaced by the time of a base's snapshot. Without a snapshot, such a URL
is skipped.
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
# bookworm-security is part of another archive; bookworm-backports and others are not used.
_PLAIN_SUITE = re.compile(r"[a-z]+")
_SECURITY_SUITE = re.compile(r"[a-z]+-security")


def mirrors(
    configured: Sequence[str],
    environ: Mapping[str, str],
    *,
    snapshot: str = "",
    folder: Path = _FOLDER,
) -> tuple[str, ...]:
    """Returns the roots of the Debian archive, best first, without a trailing slash.

    They are the ``configured`` ones, else those in MPBUILD_DEBIAN_MIRROR (separated by spaces),
    else apt's in ``folder``. An archive has all suites, so the mirror of any release will do.
    Raises EnvironmentFailureError if there is none.
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
    """Returns the roots of the archive of security updates, best first, without a trailing slash.

    They are the ``configured`` ones, else those in MPBUILD_DEBIAN_SECURITY_MIRROR, else apt's in
    ``folder``, else the siblings of ``main``, the configured mirrors of the archive itself, as
    debian-security is the sibling of debian.
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
    """The URL of ``root`` at a time; empty if it needs one and there is none."""
    if _SNAPSHOT in root and not snapshot:
        return ""
    return root.replace(_SNAPSHOT, snapshot).rstrip("/")


def _beside(root: str) -> str:
    """The security archive beside an archive; a snapshot's time is below both names."""
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
    """Skips lines that apt itself could not read."""
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
        """Whether it may be a Debian archive; its signature is checked later."""
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
