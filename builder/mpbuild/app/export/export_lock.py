"""The Python lock of an accelerator, out of a package's model artifact: for uv, pip and pex."""

from pathlib import Path

import msgspec

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.files.atomic import stream_new
from mpbuild.effects.files.disk import disk_error
from mpbuild.formats.oci import oci
from mpbuild.formats.python import pylock
from mpbuild.package.artifact_contents import model_files
from mpbuild.package.package import Package

_LARGEST = 4 << 20


class ExportedLock(msgspec.Struct, frozen=True):
    """The lock in a file: its accelerator, its digest, its size in bytes."""

    accelerator: str
    digest: Digest
    size: int


def python_lock(package: Package, accelerator: Accelerator | None) -> tuple[str, str]:
    """The accelerator, else the first that the package was built for, and the text of its lock.

    Raise InputError where the package has none, or one that is none.
    """
    name = package.artifact("pex", accelerator).accelerator
    path = f"locks/pylock.{name}.toml"
    files = {file.path: file for file in model_files(package).files}
    if path not in files or files[path].size > _LARGEST:
        raise InputError(f"the package has no {path}", code=Code.CONTENT_MISSING)
    file = files[path]
    layer = oci.Descriptor(media_type="application/toml", digest=file.digest, size=file.size)
    text = b"".join(package.place.layer(layer)).decode("utf-8", "replace")
    if pylock.write(pylock.read(text, file=path)) != text:
        raise InputError("it is not as mpbuild writes it", where=path, code=Code.LOCK_MALFORMED)
    return name, text


def export_lock(package: Package, accelerator: Accelerator | None, target: Path) -> ExportedLock:
    """Write the lock to ``target``, all or nothing."""
    name, text = python_lock(package, accelerator)
    data = text.encode()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stream_new(target.parent, target, [data], mode=0o644)
    except OSError as error:
        raise disk_error(error, target) from error
    return ExportedLock(name, Digest.of(data), len(data))
