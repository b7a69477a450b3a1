"""TARGET or REF as given on the command line, opened."""

from pathlib import Path
from typing import NamedTuple

from mpbuild.app.build import memo
from mpbuild.app.build.build_result import BuildResult
from mpbuild.app.build.options import BuildOptions
from mpbuild.app.workspace.targets import MODEL_FILE
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.cli.session import Session
from mpbuild.effects.store.store import Store
from mpbuild.package.package import PackageLocation, in_layout, in_store


class BuildRequest(NamedTuple):
    """That a target may be built, and for which accelerator; None takes the spec's first."""

    accelerator: Accelerator | None = None


def locate(
    session: Session, ref: str, store: Store, build: BuildRequest | None = None
) -> PackageLocation:
    """Where the package that ``ref`` names lies.

    A path that exists wins: a layout (also ``DIR@sha256:…``), an exported PEX, or a folder with a
    model.toml, which means its last build. That must be of the workspace as it stands, and where
    it isn't (or lacks the accelerator) ``build`` makes one; then ``sha256:…`` in the store. Who
    only asks about a package must not run a workspace's steps.
    """
    path = Path(session.directory, ref.partition("@sha256:")[0])
    if (path / "oci-layout").is_file():
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
    found = session.labels([ref])
    if len(found) != 1:
        raise InputError(f"{ref} means {len(found)} targets", hint="name one")
    key = memo.MemoKey(
        session.store_path, session.root, found[0], BuildOptions(), session.installation.identity
    )
    result = memo.find(key, session.snapshot, any_options=True)
    if result is None and not build:
        raise InputError(
            f"{found[0]} is not built as the workspace stands",
            hint=f"`mpbuild build {found[0]}` builds it",
        )
    if build and (result is None or not _has(result, build.accelerator)):
        result = _build(session, found[0], build.accelerator)
    assert result, "found or built"
    return result.package.digest


def _has(result: BuildResult, accelerator: Accelerator | None) -> bool:
    return accelerator is None or accelerator in [image.accelerator for image in result.images]


def _build(session: Session, label: Label, accelerator: Accelerator | None) -> BuildResult:
    from mpbuild.app.workspace.workspace import OpenWorkspace
    from mpbuild.cli.build import build_target

    declared = OpenWorkspace(session.root, session.snapshot).target(label).model.accelerators
    chosen = accelerator or next(a for a in Accelerator if a in declared)
    return build_target(session, label, BuildOptions((chosen,)))
