"""Writes a package of the store as a complete OCI layout."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.effects.files.oci_layout import Layout
from mpbuild.effects.host import processors
from mpbuild.effects.store.store import Store
from mpbuild.formats.oci import oci, referrer
from mpbuild.package import referrers
from mpbuild.package.derived_layers import LayerDeriver

# Stock cosign verifies the entry of a layout that has this annotation.
COSIGN_ENTRY = {"kind": "dev.cosignproject.cosign/image"}
_WORTH_SHARING = 1 << 20


def write_layout(store: Store, index: Digest, folder: Path) -> None:
    """Writes a package with its inputs artifact and bundles.

    Streams derived blobs from their inputs and shares large inputs with the store.
    """
    layout = Layout(folder)
    layout.begin()
    data = store.read(index)
    document = oci.read_index(data)
    package = oci.descriptor(oci.INDEX, data)
    source = referrers.StoreReferrers(store)
    target = referrers.LayoutReferrers(layout)
    inputs = list(referrers.inputs_artifacts(source, index))
    manifests = {child.digest: store.read(child.digest) for child in document.manifests}
    _add_blobs(layout, store, [*manifests.values(), *(manifest for _, manifest in inputs)])
    for digest, manifest in (*manifests.items(), *inputs, (index, data)):
        layout.add(digest, [manifest])
    version = document.annotations.get("org.opencontainers.image.version", "latest")
    layout.finish(
        msgspec.structs.replace(package, annotations={**COSIGN_ENTRY, oci.REF_NAME: version})
    )
    for _, manifest in inputs:
        target.list(referrer.read(manifest))
    for subject in (package, *document.manifests):
        referrers.copy_bundles(source, target, subject)


def _add_blobs(layout: Layout, store: Store, manifests: Iterable[bytes]) -> None:
    """Writes the blobs of the manifests in parallel, the largest first."""
    derivation = LayerDeriver(store)
    sizes = {blob.digest: blob.size for data in manifests for blob in oci.pointers(data)}

    def add(digest: Digest) -> None:
        large = sizes[digest] >= _WORTH_SHARING and store.has(digest)
        if not (large and layout.share(digest, store.blob(digest), derivation.blob(digest))):
            layout.add(digest, derivation.blob(digest))

    with ThreadPoolExecutor(processors()) as pool:
        for done in [pool.submit(add, one) for one in sorted(sizes, key=lambda d: -sizes[d])]:
            done.result()
