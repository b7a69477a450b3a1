"""Locates the package that a TARGET or REF on the command line names."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mpbuild.app.workspace.targets import MODEL_FILE
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.cli.session import Session
from mpbuild.effects.store.store import Store
from mpbuild.package.in_store import in_store
from mpbuild.package.location import PackageLocation

if TYPE_CHECKING:
    from mpbuild.app.build.build_result import BuildResult


class BuildRequest(NamedTuple):
    """Permission to build a target, for one accelerator; None means the spec's first."""

    accelerator: Accelerator | None = None


def locate(
    session: Session, ref: str, store: Store, build: BuildRequest | None = None
) -> PackageLocation:
    """Locates the package that ``ref`` names.

    That is an OCI layout (a folder, or ``DIR@sha256:…``), the last build of a target (a label, or
    a folder with a model.toml), or ``sha256:…`` in the store; an existing path wins. The build must
    be of the current workspace; if it is not, or lacks the accelerator, ``build`` allows another.
    Commands that only ask about a package pass none, since building runs a workspace's steps.
    """
    path = Path(session.directory, ref.partition("@sha256:")[0])
    if (path / "oci-layout").is_file():
        from mpbuild.package.in_layout import in_layout

        return in_layout(str(Path(session.directory, ref)), store)
    if ref.startswith("//") or (path / MODEL_FILE).is_file():
        return in_store(store, _built(session, ref, build))
    if ref.startswith("sha256:"):
        return in_store(store, _kept(store, Digest(ref)))
    raise InputError(
        f"{ref} is neither a target, nor an OCI layout, nor a digest in the store",
        hint="packages in registries are not supported yet",
    )


def _kept(store: Store, digest: Digest) -> Digest:
    if not store.has(digest):
        raise InputError(
            f"the store has no package {digest}",
            where=str(store.path),
            hint="build it, or name the folder of its OCI layout",
        )
    return digest


def _built(session: Session, ref: str, build: BuildRequest | None) -> Digest:
    from mpbuild.app.build import memo
    from mpbuild.app.build.options import BuildOptions
    from mpbuild.effects.workspace.snapshot import Snapshot

    found = session.labels([ref])
    if len(found) != 1:
        raise InputError(f"{ref} names {len(found)} targets", hint="name one target")
    key = memo.MemoKey(
        session.store_path, session.root, found[0], BuildOptions(), session.installation.identity
    )
    # Without a build to follow, a source that changed need not go into the store.
    snapshot = session.snapshot if build else Snapshot(session.root)
    result = memo.find(key, snapshot, any_options=True)
    if result is None and not build:
        raise InputError(
            f"{found[0]} has no build of the current workspace",
            hint=f"run `mpbuild build {found[0]}`",
        )
    if build and (result is None or not _has(result, build.accelerator)):
        result = _build(session, found[0], build.accelerator)
    assert result, "found or built"
    return result.package.digest


def _has(result: "BuildResult", accelerator: Accelerator | None) -> bool:
    return accelerator is None or accelerator in [image.accelerator for image in result.images]


def _build(session: Session, label: Label, accelerator: Accelerator | None) -> "BuildResult":
    from mpbuild.app.build.options import BuildOptions
    from mpbuild.app.workspace.workspace import OpenWorkspace
    from mpbuild.cli.build import build_target

    declared = OpenWorkspace(session.root, session.snapshot).target(label).model.accelerators
    chosen = accelerator or next(a for a in Accelerator if a in declared)
    return build_target(session, label, BuildOptions((chosen,)))
