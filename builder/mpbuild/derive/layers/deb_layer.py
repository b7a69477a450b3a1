"""Debian packages as a layer, without maintainer scripts. Format version 1.

The packages' files get merged /usr (``bin``, ``sbin``, ``lib`` and ``lib64`` become ``usr/…``),
owner root and mode 0755 or 0644; no set-user-id bit survives. The layer of the base also has the
files that its scripts would make: users, the CA bundle, the /usr links. A package whose scripts use
alternatives needs a link table (alternatives.py); a package with diversions is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from mpbuild.base import image_paths
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer
from mpbuild.base.errors import InputError
from mpbuild.derive.layers import alternatives
from mpbuild.derive.layers.alternatives import MERGED, merged
from mpbuild.derive.layers.layer import CompressibleContent, LayerNode
from mpbuild.derive.layers.layer_tree import Nodes
from mpbuild.formats.debian import deblock
from mpbuild.formats.debian.deb import DebEntry, DebPackage, read_deb
from mpbuild.formats.debian.deblock import Link

_REST_OF_COMMAND = r"(?:\\\n|[^\n;&|])*"
# Diversions to .usr-is-merged only guard the move to merged /usr, which this layer makes itself.
_DIVERSION = re.compile(rf"dpkg-divert\b(?!{_REST_OF_COMMAND}\.usr-is-merged\b)")
_AUTHORITIES = "usr/share/ca-certificates/"

_PASSWD = f"""root:x:0:0:root:/root:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
nonroot:x:{image_paths.NONROOT}:{image_paths.NONROOT}:nonroot:/tmp:/usr/sbin/nologin
"""
_GROUP = f"""root:x:0:
nogroup:x:65534:
nonroot:x:{image_paths.NONROOT}:
"""
_NSSWITCH = """passwd: files
group: files
hosts: files dns
services: files
"""
_VENV = """home = /usr/bin
include-system-site-packages = false
version = {python}
executable = /usr/bin/python{python}
"""
_FOLDERS = ("dev", "etc", "opt", "proc", "root", "run", "sys", "tmp", "var/tmp")


def deb_nodes(
    debs: Mapping[str, Buffer], python: str, *, base: bool, links: Sequence[Link] = ()
) -> tuple[LayerNode, ...]:
    """The nodes of ``debs`` (file name to bytes), with ``links`` as their link table.

    ``base`` adds the files that every image needs once.
    """
    nodes = Nodes()
    packages = []
    for filename, data in sorted(debs.items()):
        try:
            deb = read_deb(data)
            _check_name(deb, filename)
            alternatives.check(deb, [link for link in links if link.package == deb.name])
            _unpack(deb, nodes)
            packages.append(deb)
        except InputError as error:
            raise error.within(filename) from error
    alternatives.make(links, packages, nodes)
    _authorities(nodes)
    if base:
        _finish(nodes, python)
    return nodes.row()


def _check_name(deb: DebPackage, filename: str) -> None:
    """Checks that the lock and the control file agree on name, version and architecture."""
    own = deblock.filename(deb.name, deb.version, deb.architecture)
    if own != filename:
        raise InputError(
            f"its control file is that of {own}",
            code=Code.LAYER_UNSAFE,
            hint="the lock has another package name than the file: lock again",
        )


def _unpack(deb: DebPackage, nodes: Nodes) -> None:
    for script, text in deb.scripts.items():
        if _DIVERSION.search(text):
            raise InputError(
                f"its {script} script runs dpkg-divert, but scripts are not run",
                code=Code.NOT_SUPPORTED_YET,
                hint="remove the package: there is no replacement for diversions",
            )
    entries = _with_merged_usr(deb.entries)
    for group in _same_files(entries):
        _place(group, nodes)
    fields = "".join(f"{key}: {value}\n" for key, value in deb.control.items())
    nodes.text(f"var/lib/dpkg/status.d/{deb.name}", fields)


def _with_merged_usr(entries: Iterable[DebEntry]) -> list[DebEntry]:
    found: dict[str, DebEntry] = {}
    for entry in entries:
        if _is_merging_link(entry):
            continue
        path = merged(entry.path)
        known = found.get(path)
        if known and (known.kind, entry.kind) != ("directory", "directory"):
            raise InputError(f"two entries at {path} with merged /usr", code=Code.LAYER_UNSAFE)
        found[path] = entry._replace(path=path)
    return list(found.values())


def _is_merging_link(entry: DebEntry) -> bool:
    """Whether it is a link that merges /usr, as in base-files: the base layer makes its own."""
    target = entry.target.removeprefix("/")
    return entry.kind == "symlink" and entry.path in MERGED and target == f"usr/{entry.path}"


def _same_files(entries: Sequence[DebEntry]) -> list[list[DebEntry]]:
    """Groups each file with its hard links; every other entry is alone."""
    groups = {entry.path: [entry] for entry in entries if entry.kind != "hardlink"}
    for entry in entries:
        if entry.kind == "hardlink":
            target = groups.get(merged(entry.target))
            if not target or target[0].kind != "file":
                raise InputError(
                    f"{entry.path} is a hard link to {entry.target}, which is not a file",
                    code=Code.LAYER_UNSAFE,
                )
            target.append(entry)
    return list(groups.values())


def _place(group: Sequence[DebEntry], nodes: Nodes) -> None:
    entry = group[0]
    if entry.kind == "directory":
        nodes.folder(entry.path)
    elif entry.kind == "symlink":
        nodes.link(entry.path, entry.target)
    else:
        # The first name in the layer's order has the bytes, whatever the order in the archive.
        first, *others = sorted((other.path for other in group), key=str.encode)
        nodes.file(first, CompressibleContent(entry.content), executable=bool(entry.mode & 0o111))
        for path in others:
            nodes.hard_link(path, first, executable=bool(entry.mode & 0o111))


def _finish(nodes: Nodes, python: str) -> None:
    for path in _FOLDERS:
        nodes.folder(path)
    for name in ("bin", "sbin", "lib", "lib64"):
        nodes.folder(f"usr/{name}")
        nodes.link(name, f"usr/{name}")
    nodes.text("etc/passwd", _PASSWD)
    nodes.text("etc/group", _GROUP)
    nodes.text("etc/nsswitch.conf", _NSSWITCH)
    _venv(nodes, python)


def _authorities(nodes: Nodes) -> None:
    """Adds the CA bundle that the script of ca-certificates would make."""
    certificates = sorted(
        path for path in nodes.paths() if path.startswith(_AUTHORITIES) and path.endswith(".crt")
    )
    if certificates:
        bundle = b"".join(nodes.read(path).rstrip(b"\n") + b"\n" for path in certificates)
        nodes.file("etc/ssl/certs/ca-certificates.crt", CompressibleContent(bundle))


def _venv(nodes: Nodes, python: str) -> None:
    """Adds a virtual environment, which separates wheels from Debian's dist-packages."""
    if f"usr/bin/python{python}" not in nodes:
        raise InputError(
            f"no package of the base has usr/bin/python{python}",
            hint=f"add python{python}-minimal to the base's packages",
        )
    nodes.text(f"{image_paths.VENV}/pyvenv.cfg", _VENV.format(python=python))
    nodes.link(f"{image_paths.VENV}/bin/python{python}", f"/usr/bin/python{python}")
    for name in ("python3", "python"):
        nodes.link(f"{image_paths.VENV}/bin/{name}", f"python{python}")
