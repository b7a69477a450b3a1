"""Exports the Python lock of an accelerator from the model artifact, for uv, pip and pex."""

from pathlib import Path

import msgspec

from mpbuild.base import limits
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


class ExportedLock(msgspec.Struct, frozen=True):
    """An exported lock: its accelerator, its digest, and its size in bytes."""

    accelerator: str
    digest: Digest
    size: int


def python_lock(package: Package, accelerator: Accelerator | None) -> tuple[str, str]:
    """Returns an accelerator, by default the package's first, and the text of its lock.

    Raises InputError if the package has no such lock, or the lock is not in canonical form.
    """
    name = package.artifact("pex", accelerator).accelerator
    path = f"locks/pylock.{name}.toml"
    files = {file.path: file for file in model_files(package).files}
    if path not in files or files[path].size > limits.PACKAGED_LOCK_BYTES:
        raise InputError(f"the package has no {path}", code=Code.CONTENT_MISSING)
    file = files[path]
    layer = oci.Descriptor(media_type="application/toml", digest=file.digest, size=file.size)
    text = b"".join(package.blobs.layer(layer)).decode("utf-8", "replace")
    if pylock.write(pylock.read(text, file=path)) != text:
        raise InputError("the lock is not in canonical form", where=path, code=Code.LOCK_MALFORMED)
    return name, text


def export_lock(package: Package, accelerator: Accelerator | None, target: Path) -> ExportedLock:
    """Writes the lock to ``target``, all or nothing; raises InputError if that is not a file."""
    if target.exists() and not target.is_file():
        raise InputError("exists and is not a file", where=str(target), code=Code.USAGE)
    name, text = python_lock(package, accelerator)
    data = text.encode()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stream_new(target.parent, target, [data], mode=0o644)
    except OSError as error:
        raise disk_error(error, target) from error
    return ExportedLock(name, Digest.of(data), len(data))
