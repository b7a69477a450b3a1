"""What a step finds when it starts and what it leaves when it ends."""

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
    """Fill ``folder`` with the files of ``inputs``, name → file.

    Every file is read-only and dated 1980, as a step can see both. A file that already is so
    gets hard-linked, since it is as good as a copy; any other is copied.
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
    """``name``, where it is a plain path that stays inside its folder; InputError elsewhere."""
    parts = PurePosixPath(name).parts
    longest = max((len(os.fsencode(part)) for part in parts), default=0)
    plain = parts and ".." not in parts and name == "/".join(parts) and "\0" not in name
    if not plain or longest > _NAME_MAX:
        raise InputError(
            f"not a path inside a step's folder: {name!r}",
            hint="write a relative path without . and .., no part of it over 255 bytes",
        )
    return name


def collect(folder: Path, wanted: Collection[str]) -> dict[str, Path]:
    """The files that a step was to make, name → file, in ``folder``, read-only.

    Raises AnswerError (``step-failed``) where one is missing, InputError (``output-undeclared``)
    where anything else is there, or is no regular file of its own. Nothing may still be running.
    """
    found = dict(_walk(folder))
    names = [checked(name) for name in wanted]
    undeclared = [
        f"{name!r} ({kind})" for name, kind in found.items() if kind != "file" or name not in names
    ]
    missing = [name for name in names if name not in found]
    if missing:
        made = f"; it made {', '.join(undeclared[:_NAMED])}" if undeclared else ""
        raise AnswerError(f"did not make {', '.join(map(repr, missing))}{made}")
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
            f"left {thing} behind, where only declared outputs may be, as files",
            hint="declare it in outputs, or write it to /tmp",
        )
        for thing in things[:_NAMED]
    ]
    if len(things) > _NAMED:
        named.append(Finding(Code.OUTPUT_UNDECLARED, f"left {len(things) - _NAMED} more behind"))
    return InputError.collect(named)


def _place(source: Path, target: Path, mode: int) -> None:
    if _is_so_already(source, mode) and _linked(source, target):
        return
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
    target.chmod(mode)
    os.utime(target, ns=(FILE_TIME_NS, FILE_TIME_NS))


def _is_so_already(source: Path, mode: int) -> bool:
    status = source.stat()
    return stat.S_IMODE(status.st_mode) == mode and status.st_mtime_ns == FILE_TIME_NS


def _linked(source: Path, target: Path) -> bool:
    """Whether it could be hard-linked: not across filesystems, nor to files of other users."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _walk(folder: Path) -> Iterator[tuple[str, str]]:
    """Everything below ``folder``: its path there, and its kind.

    Folders that hold something are only ways to it and not told. All get opened up on the way,
    so that they can be removed.
    """
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            place.chmod(0o700)
            entries = list(os.scandir(place))
        except OSError as error:
            raise InputError(
                f"made a folder that cannot be read: {error.strerror}", code=Code.OUTPUT_UNDECLARED
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
