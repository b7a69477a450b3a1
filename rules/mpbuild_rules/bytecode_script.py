"""Bytecode of folders of Python sources, as a tar.

    python -S -P -W ignore -c SCRIPT INTERPRETER ARCHIVE FOLDER...

Runs in a sandbox, where nothing but Python is. A unit is a folder of a FOLDER with all below it,
or the modules that lie in a FOLDER itself. A process of its own compiles each unit, in one order:
what marshal writes depends on what its process did before (cpython#98819), and so on nothing but
the unit. Left out are sources that don't compile, links (whoever keeps a file elsewhere means to
change it there), and what has bytecode already.
"""

# Only what is built in or frozen: the rest would be compiled anew by every process, which takes
# longer than most units. So there is no pathlib here.

import _imp
import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNIT, CACHE = "--unit", "__pycache__"
LARGEST = 8 << 20  # in bytes: such a source takes more than a gigabyte to compile
LONGEST_NAME = 255
SECONDS = 315532800
UNCHECKED = (0b01).to_bytes(4, "little")

Unit = tuple[str, str]
Place = tuple[int, int, int]


def main(interpreter: str, archive: str, *folders: str) -> None:
    """Compile ``folders`` and write ``archive``; exit where another interpreter runs this."""
    if sys.executable != interpreter:
        sys.exit(f"bytecode is made by {interpreter} of an image, and this is {sys.executable}")
    found = {unit: sum(1 for _ in sources(*unit)) for folder in folders for unit in units(folder)}
    largest_first = sorted(filter(found.get, found), key=lambda unit: (-found[unit], unit))
    write(archive, dict(index(compile_all(largest_first))))


def units(folder: str) -> list[Unit]:
    """The units of ``folder``: its own modules under no name, and its folders."""
    return [(folder, ""), *((folder, name) for name in subfolders(scan(folder)))]


def sources(folder: str, name: str) -> "Iterator[str]":
    """The files of a unit that get bytecode, in order."""
    pending = [f"{folder}/{name}" if name else folder]
    while pending:
        place = pending.pop()
        entries = scan(place)
        yield from (f"{place}/{file}" for file in modules(entries))
        if name:
            pending += (f"{place}/{subfolder}" for subfolder in subfolders(entries))


def scan(folder: str) -> "dict[str, os.DirEntry[str]]":
    """What ``folder`` holds, sorted by name; nothing where it doesn't exist."""
    if not os.path.lexists(folder):
        return {}
    with os.scandir(folder) as entries:
        return {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}


def subfolders(entries: "dict[str, os.DirEntry[str]]") -> list[str]:
    """Those that can hold modules."""
    return [
        name
        for name, entry in entries.items()
        if entry.is_dir(follow_symlinks=False) and name != CACHE
    ]


def modules(entries: "dict[str, os.DirEntry[str]]") -> list[str]:
    """The sources among a folder's ``entries`` for whose bytecode there is a free place."""
    cache = entries.get(CACHE)
    if cache and not cache.is_dir(follow_symlinks=False):
        return []
    taken = scan(cache.path) if cache else {}
    return [
        name
        for name, entry in entries.items()
        if name.endswith(".py")
        and entry.is_file(follow_symlinks=False)
        and entry.stat().st_size <= LARGEST
        and len(compiled(name).encode()) <= LONGEST_NAME
        and compiled(name) not in taken
    ]


def compiled(name: str) -> str:
    """The name under which an interpreter looks for the bytecode of ``name`` (PEP 3147)."""
    return f"{name.removesuffix('.py') or 'py'}.{sys.implementation.cache_tag}.pyc"


def compile_all(row: "Iterable[Unit]") -> list[int]:
    """Compile every unit; the files in memory that hold what came out, one a processor."""
    slots = [os.memfd_create("bytecode") for _ in os.sched_getaffinity(0)]
    idle, running = list(slots), dict[int, tuple[int, Unit]]()
    for unit in row:
        if not idle:
            idle.append(finished(running))
        slot = idle.pop()
        running[start(unit, slot)] = slot, unit
    while running:
        finished(running)
    return slots


def start(unit: Unit, slot: int) -> int:
    """Start a process that compiles ``unit`` and adds what comes out to ``slot``."""
    command = [*sys.orig_argv[: 1 - len(sys.argv)], UNIT, *unit]
    output = (os.POSIX_SPAWN_DUP2, slot, 1)
    return os.posix_spawn(sys.executable, command, os.environ, file_actions=[output])


def finished(running: dict[int, tuple[int, Unit]]) -> int:
    """Wait for any process; the slot that it leaves."""
    process, status = os.wait()
    slot, (folder, name) = running.pop(process)
    if status:
        sys.exit(f"the process that compiled {folder}/{name} ended with {status}")
    return slot


def compile_unit(folder: str, name: str) -> None:
    """Write path, size and bytes of everything that compiles."""
    out = sys.stdout.buffer
    for path in sources(folder, name):
        pyc = bytecode(path)
        if pyc:
            place, _, file = path.strip("/").rpartition("/")
            marshal.dump((f"{place}/{CACHE}/{compiled(file)}", len(pyc)), out)
            out.write(pyc)


def bytecode(path: str) -> bytes:
    """An unchecked hash-based pyc (PEP 552); nothing where the source does not compile."""
    with open(path, "rb") as file:  # noqa: PTH123
        source = file.read()
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
        body = marshal.dumps(code)
    except Exception:  # noqa: BLE001 - even MemoryError says that a source is nested too deeply
        return b""
    source_hash = _imp.source_hash(int.from_bytes(MAGIC_NUMBER, "little"), source)
    return MAGIC_NUMBER + UNCHECKED + source_hash + body


def index(slots: "Iterable[int]") -> "Iterator[tuple[str, Place]]":
    """Every path with where its bytes are: slot, offset, size."""
    for slot in slots:
        end = os.lseek(slot, 0, os.SEEK_END)
        with open(slot, "rb", closefd=False) as file:
            file.seek(0)
            while file.tell() < end:
                path, size = marshal.load(file)  # noqa: S302 - a process of ours wrote it
                yield path, (slot, file.tell(), size)
                file.seek(size, os.SEEK_CUR)


def write(archive: str, pycs: dict[str, Place]) -> None:
    """The tar that the layer is, byte for byte: every parent folder, sorted by bytes."""
    folders = {path[:end] for path in pycs for end, c in enumerate(path) if c == "/"}
    with open(archive, "xb") as out:  # noqa: PTH123
        for path in sorted(pycs.keys() | folders, key=str.encode):
            if path in folders:
                out.write(header(f"{path}/", b"5", 0o755, 0))
            else:
                slot, offset, size = pycs[path]
                out.write(header(path, b"0", 0o644, size))
                out.write(os.pread(slot, size, offset) + bytes(-size % 512))
        out.write(bytes(1024))


def header(name: str, kind: bytes, mode: int, size: int) -> bytes:
    """A ustar header, behind a pax header where ``name`` does not fit (POSIX.1-2001, pax)."""
    if name.isascii() and len(name) <= 100:
        return block(b"", name.encode(), kind, mode, size)
    cut = name.rfind("/", 1, min(156, len(name) - 1)) if name.isascii() else -1
    if cut > 0 and len(name) - cut - 1 <= 100:
        return block(name[:cut].encode(), name[cut + 1 :].encode(), kind, mode, size)
    rest = f" path={name}\n".encode()
    length = len(rest) + len(str(len(rest)))
    record = str(len(rest) + len(str(length))).encode() + rest
    extended = block(b"", b"././@PaxHeader", b"x", 0o644, len(record))
    short = name.encode("ascii", "replace")[:100]
    return extended + record + bytes(-len(record) % 512) + block(b"", short, kind, mode, size)


def block(prefix: bytes, name: bytes, kind: bytes, mode: int, size: int) -> bytes:
    """One header of 512 bytes: owner 0, no names, the one time of every made byte."""
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, 0, 0, size, SECONDS)
    start = name.ljust(100, b"\0") + numbers
    end = kind + bytes(100) + b"ustar\x0000" + bytes(64) + b"%07o\0%07o\0" % (0, 0)
    end = (end + prefix).ljust(356, b"\0")
    return start + b"%06o\0 " % (sum(start) + sum(end) + 8 * ord(" ")) + end


if __name__ == "__main__":
    if sys.argv[1] == UNIT:
        compile_unit(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
