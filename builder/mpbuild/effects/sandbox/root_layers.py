"""The folders of a sandbox's root: layers, and on top a skeleton of mount points."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

_OPTIONS_LIMIT = 4095
"""mount(2) copies one page of options, whose last byte must be NUL."""


def make_skeleton(mountpoints: Mapping[str, bool], folder: Path) -> Path:
    """Makes ``folder`` the topmost layer: an empty file or folder for each mount point.

    ``mountpoints`` maps an absolute path in the sandbox to whether it is a folder. They must exist
    beforehand because the root is read-only, and on top because a layer could make ``/proc`` a
    link.
    """
    _folder(folder)
    for path, is_folder in sorted(mountpoints.items()):
        *parents, name = Path(path).relative_to("/").parts
        place = folder
        for parent in parents:
            place = _folder(place / parent)
        if is_folder:
            _folder(place / name)
        else:
            (place / name).touch()
    return folder


def within_one_mount(layers: Sequence[Path], skeleton: Path, spare: Path) -> list[Path]:
    """Returns ``layers`` and ``skeleton``, lowest first, few enough for the options of one mount.

    If there are too many, merges the uppermost, which are small, into one folder of hard links at
    ``spare``, on the same filesystem. Keeps only the uppermost of equal layers, because an overlay
    rejects a folder that comes twice.
    """
    distinct = list(dict.fromkeys(reversed(layers)))[::-1]
    for kept in range(len(distinct), -1, -1):
        rest = distinct[kept:]
        lowest = distinct[:kept] + ([spare] if rest else [])
        if _options_length([*lowest, skeleton]) <= _OPTIONS_LIMIT:
            break
    if rest:
        merge(rest, spare)
    return [*lowest, skeleton]


def merge(layers: Sequence[Path], folder: Path) -> None:
    """Fills ``folder`` with hard links, as an overlay of ``layers``, lowest first, would look."""
    folders: dict[Path, Path] = {}
    for layer in layers:
        for place, names, files in os.walk(layer):
            target = folder / Path(place).relative_to(layer)
            _replace_by_folder(target)
            folders[target] = Path(place)
            for name in files + [name for name in names if Path(place, name).is_symlink()]:
                _replace_by_link(Path(place, name), target / name)
    for target, source in reversed(folders.items()):
        if target.is_dir() and not target.is_symlink():
            shutil.copystat(source, target)


def _options_length(layers: Sequence[Path]) -> int:
    """The length of bubblewrap's mount options: every path escaped, below ``/oldroot``."""
    sources = (os.path.realpath(layer) for layer in layers)
    escaped = (path + "".join(c for c in path if c in "\\:,") for path in sources)
    line = "lowerdir=" + ":".join("/oldroot" + path for path in escaped) + ",userxattr"
    return len(os.fsencode(line))


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    path.chmod(0o755)
    return path


def _replace_by_folder(target: Path) -> None:
    if target.is_symlink() or target.is_file():
        target.unlink()
    target.mkdir(mode=0o700, exist_ok=True)


def _replace_by_link(source: Path, target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
