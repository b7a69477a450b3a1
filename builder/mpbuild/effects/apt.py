"""The Debian mirrors that this machine's apt uses (sources.list(5), both formats)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mpbuild.base.errors import InputError, WorldError
from mpbuild.formats import debindex

_VARIABLE = "MPBUILD_DEBIAN_MIRROR"
_ONE_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)")
_SCHEME = re.compile(r"(?:https?|file)://?.+")
_PLAIN_SUITE = re.compile(r"[a-z]+")  # bookworm-security, bookworm-backports are other archives


def mirrors(
    configured: Sequence[str], environ: Mapping[str, str], *, folder: Path = Path("/etc/apt")
) -> tuple[str, ...]:
    """Roots of the Debian archive, best first, without a slash at the end.

    ``configured`` ones, else those in MPBUILD_DEBIAN_MIRROR (by spaces), else apt's in
    ``folder``. An archive holds all suites, so whatever release this machine runs, its mirror
    serves. Raises WorldError where there is none.
    """
    found = list(configured) or environ.get(_VARIABLE, "").split() or list(_from_apt(folder))
    usable = [mirror.rstrip("/") for mirror in found if _SCHEME.fullmatch(mirror)]
    if not usable:
        raise WorldError(
            "no Debian mirror is known",
            hint=f"give `mirrors` in the base in mpbuild.toml, or set {_VARIABLE}",
        )
    return tuple(dict.fromkeys(usable))


def _from_apt(folder: Path) -> Iterator[str]:
    parts = folder / "sources.list.d"
    files = sorted(parts.iterdir()) if parts.is_dir() else []
    for file in (folder / "sources.list", *files):
        if file.suffix in (".list", ".sources") and file.is_file():
            yield from _in_file(file)


def _in_file(file: Path) -> Iterator[str]:
    """What apt itself could not read is passed over: it is not ours to judge."""
    try:
        text = file.read_text("utf-8")
        yield from _deb822(text) if file.suffix == ".sources" else _one_line(text)
    except (OSError, UnicodeDecodeError, InputError):
        return


def _one_line(text: str) -> Iterator[str]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.split("#", 1)[0].strip())
        if match:
            options, uri, suite, components = match.groups()
            keys = re.search(r"signed-by=(\S+)", options or "")
            if _is_debian([suite], components.split(), keys.group(1) if keys else ""):
                yield uri


def _deb822(text: str) -> Iterator[str]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for source in debindex.paragraphs("\n".join(lines)):
        words = {key: value.split() for key, value in source.items()}
        enabled = source.get("enabled", "yes").lower() not in ("no", "false", "0", "off")
        if (
            enabled
            and "deb" in words.get("types", ())
            and _is_debian(
                words.get("suites", []), words.get("components", []), source.get("signed-by", "")
            )
        ):
            yield from words.get("uris", ())


def _is_debian(suites: Sequence[str], components: Sequence[str], keys: str) -> bool:
    """Whether it can be the main archive; its signature decides later whether it is."""
    plain = any(_PLAIN_SUITE.fullmatch(suite) for suite in suites)
    foreign = keys and not Path(keys.strip()).name.startswith("debian-archive")
    return plain and "main" in components and not foreign
