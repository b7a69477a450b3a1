"""Links that maintainer scripts would have made by update-alternatives, made from a table instead.

No script is run; each is read for what it would make. A script that states its links by absolute
paths has them compared with the table's; of one that computes them only the package is. Links to
manuals need no row: nothing reads them in an image.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.derive.layers.layer_tree import Nodes
from mpbuild.formats.debian.deb import DebPackage
from mpbuild.formats.debian.deblock import Link

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

_TOOL = "update-alternatives"
_END_OF_COMMAND = re.compile(r"[\n;&|]")
_INSTALLS = re.compile(r"\s--install\b")
_STATED = re.compile(r"\s--(?:install|slave)\s+(\S+)")
_PLAIN = re.compile(r"/[A-Za-z0-9._+@/-]+")
_MANUALS = ("usr/share/man/", "usr/share/info/", "usr/share/doc/")


def encode(links: Iterable[Link]) -> str:
    """A link table as the parameter of a layer: a line for each row, of one word or three."""
    rows = sorted(links)
    return "\n".join(" ".join(filter(None, (r.package, r.path, r.target))) for r in rows)


def decode(text: str) -> tuple[Link, ...]:
    """The inverse; raise InputError for what is no table."""
    rows = [line.split(" ") for line in text.split("\n")] if text else []
    if any(len(row) not in (1, 3) or not all(row) for row in rows):
        raise InputError("this is no link table", code=Code.LAYER_UNSAFE)
    return tuple(Link(*row) for row in rows)


def merged(path: str) -> str:
    """Where a path of a package stands with merged /usr."""
    first, _, _ = path.partition("/")
    return f"usr/{path}" if first in MERGED else path


def check(deb: DebPackage, links: Sequence[Link]) -> None:
    """Raise InputError unless ``links``, the rows of ``deb``, answer to what its scripts make."""
    stated = dict(_stated(deb))
    if links and not stated:
        raise InputError(
            f"no script of it runs {_TOOL}", hint=f"take {deb.name} out of the link table"
        )
    rows = {_place(link.path) for link in links if not link.omitted}
    _refuse_foreign(deb, rows, stated)
    if not any(link.omitted for link in links):
        _refuse_uncovered(deb, rows, stated)


def _refuse_foreign(deb: DebPackage, rows: set[str], stated: Mapping[str, str]) -> None:
    """No row may make a link that the scripts don't, as far as these tell."""
    foreign = rows - {_place(path) for path in stated}
    if foreign and all(_PLAIN.fullmatch(path) for path in stated):
        raise InputError(
            f"no script of it makes /{min(foreign)} by {_TOOL}",
            hint=f"take the row out of the links of {deb.name}",
        )


def _refuse_uncovered(deb: DebPackage, rows: set[str], stated: Mapping[str, str]) -> None:
    for path, script in stated.items():
        if not _PLAIN.fullmatch(path):
            if not rows:
                raise _uncovered(deb, script, "links at paths that it computes")
        elif not _place(path).startswith(_MANUALS) and _place(path) not in rows:
            raise _uncovered(deb, script, path)


def make(links: Iterable[Link], packages: Iterable[DebPackage], nodes: Nodes) -> None:
    """Add the ``links`` of ``packages``, whose own nodes stand already."""
    files = {deb.name: {merged(e.path) for e in deb.entries if e.kind != "directory"}
             for deb in packages}  # fmt: skip
    for link in links:
        if link.omitted:
            continue
        if _place(link.target) not in files.get(link.package, ()):
            raise InputError(
                f"{link.package} has no file {link.target} for the link {link.path}",
                hint="name the file that the package's script gives to update-alternatives",
            )
        nodes.link(_place(link.path), f"/{_place(link.target)}")


def _stated(deb: DebPackage) -> Iterator[tuple[str, str]]:
    """Each link that a script makes, as it is written there, and the script's name."""
    for script, text in deb.scripts.items():
        for command in _END_OF_COMMAND.split(text.replace("\\\n", " ")):
            _, found, rest = command.partition(_TOOL)
            if found and _INSTALLS.search(rest):
                # What names nothing after --install counts as a path that is computed.
                for path in _STATED.findall(rest) or [""]:
                    yield path.strip("\"'"), script


def _place(path: str) -> str:
    return merged(path.lstrip("/"))


def _uncovered(deb: DebPackage, script: str, what: str) -> InputError:
    return InputError(
        f"its {script} script makes {what} by {_TOOL}, and scripts are not run",
        hint=f"say in a link of {deb.name} where it leads, or that it is omitted: in the `links` "
        "of the environment, or of the base that brings it",
    )
