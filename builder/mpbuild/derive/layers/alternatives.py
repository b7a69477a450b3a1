"""Makes the links of update-alternatives from a table instead of running maintainer scripts.

Scripts are read but never run. If a script has its links as absolute paths, the table must have the
same ones; if it computes them, the table only needs a row for the package. Links to manuals need no
row, because nothing reads manuals in an image.
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
    """Writes a link table as a parameter of a layer: a line of one or three words for each row."""
    rows = sorted(links)
    return "\n".join(" ".join(filter(None, (r.package, r.path, r.target))) for r in rows)


def decode(text: str) -> tuple[Link, ...]:
    """Reads the table that ``encode`` writes; raises InputError for anything else."""
    rows = [line.split(" ") for line in text.split("\n")] if text else []
    if any(len(row) not in (1, 3) or not all(row) for row in rows):
        raise InputError("not a link table", code=Code.LAYER_UNSAFE)
    return tuple(Link(*row) for row in rows)


def merged(path: str) -> str:
    """The path of a package's file with merged /usr."""
    first, _, _ = path.partition("/")
    return f"usr/{path}" if first in MERGED else path


def check(deb: DebPackage, links: Sequence[Link]) -> None:
    """Raises InputError unless ``links``, the rows of ``deb``, match the links of its scripts."""
    stated = dict(_stated(deb))
    if links and not stated:
        raise InputError(
            f"none of its scripts runs {_TOOL}", hint=f"remove {deb.name} from the link table"
        )
    rows = {_place(link.path) for link in links if not link.omitted}
    _refuse_foreign(deb, rows, stated)
    if not any(link.omitted for link in links):
        _refuse_uncovered(deb, rows, stated)


def _refuse_foreign(deb: DebPackage, rows: set[str], stated: Mapping[str, str]) -> None:
    """Refuses rows for links that the scripts would not make, unless these compute them."""
    foreign = rows - {_place(path) for path in stated}
    if foreign and all(_PLAIN.fullmatch(path) for path in stated):
        raise InputError(
            f"none of its scripts makes /{min(foreign)} by {_TOOL}",
            hint=f"remove the row from the links of {deb.name}",
        )


def _refuse_uncovered(deb: DebPackage, rows: set[str], stated: Mapping[str, str]) -> None:
    for path, script in stated.items():
        if not _PLAIN.fullmatch(path):
            if not rows:
                raise _uncovered(deb, script, "links at computed paths")
        elif not _place(path).startswith(_MANUALS) and _place(path) not in rows:
            raise _uncovered(deb, script, path)


def make(links: Iterable[Link], packages: Iterable[DebPackage], nodes: Nodes) -> None:
    """Adds the ``links`` of ``packages``, whose own nodes are already there."""
    files = {deb.name: {merged(e.path) for e in deb.entries if e.kind != "directory"}
             for deb in packages}  # fmt: skip
    for link in links:
        if link.omitted:
            continue
        if _place(link.target) not in files.get(link.package, ()):
            raise InputError(
                f"{link.package} has no file {link.target} for the link {link.path}",
                hint="use the file that the package's script passes to update-alternatives",
            )
        nodes.link(_place(link.path), f"/{_place(link.target)}")


def _stated(deb: DebPackage) -> Iterator[tuple[str, str]]:
    """Yields each link of a script, as written there, and the script's name."""
    for script, text in deb.scripts.items():
        for command in _END_OF_COMMAND.split(text.replace("\\\n", " ")):
            _, found, rest = command.partition(_TOOL)
            if found and _INSTALLS.search(rest):
                # An --install without a literal path counts as a computed path.
                for path in _STATED.findall(rest) or [""]:
                    yield path.strip("\"'"), script


def _place(path: str) -> str:
    return merged(path.lstrip("/"))


def _uncovered(deb: DebPackage, script: str, what: str) -> InputError:
    return InputError(
        f"its {script} script makes {what} by {_TOOL}, but scripts are not run",
        hint=f"give its target in a link of {deb.name}, or mark it as omitted, in `links` of the "
        "environment or of its base",
    )
