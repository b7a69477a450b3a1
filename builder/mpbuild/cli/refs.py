"""TARGET or REF as given on the command line, opened."""

from pathlib import Path

from mpbuild.app import memo
from mpbuild.app.options import Options
from mpbuild.app.reference import Located, in_layout, in_store
from mpbuild.app.targets import MODEL_FILE, labels
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.cli.session import Session
from mpbuild.effects.store import Store


def locate(session: Session, ref: str, store: Store, *, build: bool = False) -> Located:
    """Where the package that ``ref`` names lies.

    A path that exists wins: a layout (also ``DIR@sha256:…``), or a folder with a model.toml, whose
    package must be built as the workspace stands, or is built now with ``build``; then
    ``sha256:…`` in the store. Who only asks about a package must not run a workspace's steps.
    """
    path = Path(session.directory, ref.partition("@sha256:")[0])
    if (path / "oci-layout").is_file():
        return in_layout(str(Path(session.directory, ref)), store)
    if ref.startswith("//") or (path / MODEL_FILE).is_file():
        return in_store(store, _built(session, ref, build=build))
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


def _built(session: Session, ref: str, *, build: bool) -> Digest:
    root = session.root
    found = labels(root, [ref], session.directory)
    if len(found) != 1:
        raise InputError(f"{ref} means {len(found)} targets", hint="name one")
    options = Options()
    result = memo.find(memo.Slot(session.store_path, root, found[0], options))
    if result is None and not build:
        raise InputError(
            f"{found[0]} is not built as the workspace stands",
            hint=f"`mpbuild build {found[0]}` builds it",
        )
    if result is None:
        from mpbuild.app.build import build as build_target
        from mpbuild.cli.progress import Progress

        with Progress(session) as progress:
            result = build_target(session.workspace(), found[0], session.store(), options, progress)
    return Digest(result["package"]["digest"])
