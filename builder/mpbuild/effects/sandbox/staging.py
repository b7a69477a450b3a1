"""Stages the inputs of a step and collects its outputs."""

import os
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from mpbuild.base.codes import Code
from mpbuild.base.errors import AnswerError, Finding, InputError
from mpbuild.engine.step_environment import FILE_TIME_NS

_NAMED = 20
_NAME_MAX = 255


def stage(inputs: Mapping[str, Path], executable: Collection[str], folder: Path) -> None:
    """Fills ``folder`` with ``inputs``, files by name.

    A step can see the mode and the time of a file, so each is read-only and dated 1980. A file
    that already has these is hard-linked; any other is copied.
    """
    folder.mkdir(exist_ok=True)
    for name, source in sorted(inputs.items()):
        target = folder / checked(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _place(source, target, 0o555 if name in executable else 0o444)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"the input {name!r} is both a file and a folder") from error
    for place, _, _ in os.walk(folder, topdown=False):
        Path(place).chmod(0o755)
        os.utime(place, ns=(FILE_TIME_NS, FILE_TIME_NS))


def checked(name: str) -> str:
    """Returns ``name`` if it is a plain relative path; raises InputError otherwise."""
    parts = PurePosixPath(name).parts
    longest = max((len(os.fsencode(part)) for part in parts), default=0)
    plain = parts and ".." not in parts and name == "/".join(parts) and "\0" not in name
    if not plain or longest > _NAME_MAX:
        raise InputError(
            f"not a path inside a step's folder: {name!r}",
            hint="use a relative path without . and .., each part at most 255 bytes",
        )
    return name


def collect(folder: Path, wanted: Collection[str]) -> dict[str, Path]:
    """Returns the ``wanted`` outputs in ``folder``, files by name, and makes them read-only.

    Raises AnswerError (step-failed) if one is missing, and InputError (output-undeclared) if there
    is anything else, or an output is not a regular file with one name. No process may still run.
    """
    found = dict(_walk(folder))
    names = [checked(name) for name in wanted]
    undeclared = [
        f"{name!r} ({kind})" for name, kind in found.items() if kind != "file" or name not in names
    ]
    missing = [name for name in names if name not in found]
    if missing:
        made = f"; it wrote {', '.join(undeclared[:_NAMED])}" if undeclared else ""
        raise AnswerError(f"did not write {', '.join(map(repr, missing))}{made}")
    if undeclared:
        raise _undeclared(undeclared)
    outputs = {name: folder / name for name in names}
    for path in outputs.values():
        path.chmod(0o444)
    return outputs


def _undeclared(things: list[str]) -> InputError:
    named = [
        Finding(
            Code.OUTPUT_UNDECLARED,
            f"wrote {thing}, which is not a declared output and a regular file",
            hint="declare it in outputs, or write it to /tmp",
        )
        for thing in things[:_NAMED]
    ]
    if len(things) > _NAMED:
        named.append(
            Finding(Code.OUTPUT_UNDECLARED, f"wrote {len(things) - _NAMED} more undeclared files")
        )
    return InputError.collect(named)


def _place(source: Path, target: Path, mode: int) -> None:
    if _is_staged(source, mode) and _linked(source, target):
        return
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
    target.chmod(mode)
    os.utime(target, ns=(FILE_TIME_NS, FILE_TIME_NS))


def _is_staged(source: Path, mode: int) -> bool:
    status = source.stat()
    return stat.S_IMODE(status.st_mode) == mode and status.st_mtime_ns == FILE_TIME_NS


def _linked(source: Path, target: Path) -> bool:
    """Links the file if it can: not across filesystems, nor to files of other users."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _walk(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields the relative path and the kind of everything below ``folder``.

    Leaves out folders that are not empty. Makes all folders accessible, so that they can be
    removed.
    """
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            place.chmod(0o700)
            entries = list(os.scandir(place))
        except OSError as error:
            raise InputError(
                f"wrote an unreadable folder: {error.strerror}", code=Code.OUTPUT_UNDECLARED
            ) from error
        if not entries and place != folder:
            yield place.relative_to(folder).as_posix(), "empty folder"
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            else:
                name = Path(entry.path).relative_to(folder).as_posix()
                yield name, _kind(entry.stat(follow_symlinks=False))


def _kind(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return "special file"
    return "file" if status.st_nlink == 1 else "hard link"
