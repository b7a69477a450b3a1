"""Writing a package of the store as a complete OCI layout."""

from pathlib import Path

import msgspec

from mpbuild.app import attachments
from mpbuild.app.derivation import Derivation
from mpbuild.base.digest import Digest
from mpbuild.effects.layout import Layout
from mpbuild.effects.store import Store
from mpbuild.formats import oci, referrer

# By this annotation stock cosign knows which entry of a layout is the one to verify.
COSIGN_ENTRY = {"kind": "dev.cosignproject.cosign/image"}


def write_layout(store: Store, index: Digest, folder: Path) -> None:
    """Write the complete OCI layout of a package, with what is attached to it.

    Derived blobs are streamed from their inputs.
    """
    layout, derivation = Layout(folder), Derivation(store)
    layout.begin()
    data = store.read(index)
    document = oci.read_index(data)
    package = oci.descriptor(oci.INDEX, data)
    for child in document.manifests:
        _add(layout, derivation, child.digest, store.read(child.digest))
    layout.add(index, [data])
    version = document.annotations.get("org.opencontainers.image.version", "latest")
    layout.finish(
        msgspec.structs.replace(package, annotations={**COSIGN_ENTRY, oci.REF_NAME: version})
    )
    for digest, data in attachments.InStore(store).inputs(index):
        _add(layout, derivation, digest, data)
        attachments.InLayout(layout).list(referrer.read(data))
    for subject in (package, *document.manifests):
        attachments.copy(attachments.InStore(store), attachments.InLayout(layout), subject)


def _add(layout: Layout, derivation: Derivation, digest: Digest, manifest: bytes) -> None:
    """A manifest and what it points at."""
    for blob in oci.pointers(manifest):
        layout.add(blob.digest, derivation.blob(blob.digest))
    layout.add(digest, [manifest])
