"""TARGET or REF as given on the command line, opened."""

from pathlib import Path

from mpbuild.app import memo
from mpbuild.app.reference import InStore, Package, open_layout
from mpbuild.app.targets import MODEL_FILE, labels
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.cli.session import Session
from mpbuild.effects.store import Store


def open_ref(session: Session, ref: str) -> tuple[Package, Store]:
    """The package that ``ref`` names, and the store to unpack it in.

    A path that exists wins: a layout (also ``DIR@sha256:…``), or a folder with a model.toml,
    whose package is built if need be; then ``sha256:…`` in the store.
    """
    store = session.store()
    path = Path(session.directory, ref.partition("@")[0])
    if (path / "oci-layout").is_file():
        return open_layout(str(Path(session.directory, ref)), store), store
    if ref.startswith("//") or (path / MODEL_FILE).is_file():
        return Package(InStore(store), _built(session, ref)), store
    if ref.startswith("sha256:"):
        return Package(InStore(store), Digest(ref)), store
    raise InputError(
        f"{ref} is neither a target, nor an OCI layout, nor a digest in the store",
        hint="packages in registries are not supported yet",
    )


def _built(session: Session, ref: str) -> Digest:
    from mpbuild.app.build import Options, build
    from mpbuild.cli.progress import Progress

    root = session.root
    found = labels(root, [ref], session.directory)
    if len(found) != 1:
        raise InputError(f"{ref} means {len(found)} targets", hint="name one")
    options = Options()
    result = memo.find(memo.Slot(session.store_path, root, found[0], options.conditions))
    if result is None:
        with Progress(session) as progress:
            result = build(session.workspace(), found[0], session.store(), options, progress)
    return Digest(result["package"]["digest"])
