"""The inputs artifact: the inputs of a package that it does not contain itself. Version 1.

A referrer of the package with the Debian packages of every environment, the wheels that no PEX of
the package contains, the files that steps read (one layer for each distinct set of files), and the
locks of the toolchain. It makes a package rebuildable from the package alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.files import WorkspaceFile
from mpbuild.derive.layers.layer_plan import STORED, LayerPlan
from mpbuild.formats.archive.tree import safe_path
from mpbuild.formats.oci import oci, referrer
from mpbuild.formats.oci.annotations import TITLE

ARTIFACT = "application/vnd.mpbuild.inputs.v1"
FILE = "application/vnd.mpbuild.inputs.file.v1"
STEPS = "steps.json"


class InputFile(msgspec.Struct, frozen=True, order=True):
    """A file of the artifact: path, digest and size in bytes."""

    path: str
    digest: Digest
    size: int
    media_type: str = FILE


class StepFiles(msgspec.Struct, frozen=True):
    """The files of a workspace that a step reads; ``folder`` is the model's folder."""

    folder: str
    files: tuple[WorkspaceFile, ...]


class Steps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``steps.json``: the files that each step reads, by name."""

    steps: dict[str, StepFiles]
    schema: str = "mpbuild.steps/1"


def inputs(subject: oci.Descriptor, files: Iterable[InputFile]) -> referrer.Referrer:
    """The manifest of the artifact about ``subject``; it lists each digest once."""
    once = {file.digest: file for file in sorted(files, reverse=True)}
    return referrer.Referrer(
        artifact_type=ARTIFACT,
        config=oci.descriptor(oci.EMPTY_TYPE, oci.EMPTY),
        layers=tuple(
            oci.Descriptor(
                media_type=file.media_type,
                digest=file.digest,
                size=file.size,
                annotations={TITLE: file.path},
            )
            for file in sorted(once.values())
        ),
        subject=oci.Descriptor(
            media_type=subject.media_type, digest=subject.digest, size=subject.size
        ),
    )


def read_files(manifest: referrer.Referrer) -> tuple[InputFile, ...]:
    """The files of an artifact; raises InputError (content-mismatch) for another type."""
    if manifest.artifact_type != ARTIFACT:
        raise InputError(
            f"not an inputs artifact but {manifest.artifact_type!r:.80}", code=Code.CONTENT_MISMATCH
        )
    return tuple(
        InputFile(
            (layer.annotations or {}).get(TITLE, ""), layer.digest, layer.size, layer.media_type
        )
        for layer in manifest.layers
    )


def step_plan(name: str, read: StepFiles) -> LayerPlan:
    """The layer of the files that a step reads, at their paths in the workspace."""
    return LayerPlan(
        rule=STORED,
        title=f"read by {name}",
        inputs={file.path: file.digest for file in read.files},
        executable=tuple(file.path for file in read.files if file.executable),
    )


def write_steps(steps: Mapping[str, StepFiles]) -> bytes:
    """The canonical bytes of ``steps.json``."""
    return canonical.encode(plain(Steps(steps=dict(steps))))


def read_steps(data: bytes) -> dict[str, StepFiles]:
    """Reads ``steps.json``; raises InputError if it is malformed or a path leads elsewhere."""
    document: Any = canonical.decode(data)
    found = typed(document, Steps)
    if found.schema != Steps(steps={}).schema:
        raise InputError(
            f"unknown version of steps.json: {found.schema!r:.80}", code=Code.CONTENT_MISMATCH
        )
    for name, read in found.steps.items():
        paths = [file.path for file in read.files]
        if any(safe_path(path) != path for path in (*paths, read.folder or "model")):
            raise InputError(
                f"the step {name!r:.80} has a path that is not plain", code=Code.CONTENT_MISMATCH
            )
    return found.steps
