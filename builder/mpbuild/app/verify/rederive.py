"""Derives a whole package again, from leaves and inputs, by the functions that built it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from mpbuild.app.build.wheel_collisions import file_collisions
from mpbuild.app.fetch.input_supplier import InputSupplier
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import image_layers
from mpbuild.derive import pex as derive_pex
from mpbuild.derive.image import DerivedImage
from mpbuild.derive.layers.layer import Layer
from mpbuild.derive.layers.layer_plan import LayerPlan, Leaf
from mpbuild.derive.model_artifact import ModelArtifact
from mpbuild.effects.host import processors
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action
from mpbuild.formats.oci import modelpack, oci
from mpbuild.formats.oci.annotations import LAYER
from mpbuild.package.artifact_contents import ArtifactContents, model_files
from mpbuild.package.assemble import Assembly, BoundLayer, PackageParts, assemble
from mpbuild.package.derived_layers import LayerDeriver, layer_task
from mpbuild.package.image_contents import ImageContents
from mpbuild.package.package import Package

_File = derive_pex.PexFile | modelpack.ModelArtifactFile


class Difference(NamedTuple):
    """A finding about a digest that differs; ``expected`` or ``actual`` may be empty."""

    finding: Finding
    expected: str = ""
    actual: str = ""


class Recomputation(msgspec.Struct, frozen=True):
    """The result of deriving a package again from its leaves and inputs.

    ``unable`` has the reasons why parts could not be derived, and colliding wheels. ``checked``
    counts derived blobs (layers, configurations, documents, manifests, the index), ``matched``
    those of them that the package contains.
    """

    unable: tuple[Finding, ...] = ()
    differences: tuple[Difference, ...] = ()
    checked: int = 0
    matched: int = 0

    @property
    def findings(self) -> list[Finding]:
        """All findings."""
        return [*self.unable, *(difference.finding for difference in self.differences)]


def rederive(
    package: Package,
    contents: Sequence[ImageContents],
    artifacts: ArtifactContents,
    store: Store,
    inputs: InputSupplier,
) -> Recomputation:
    """Derives all of ``package`` again, without any cache, and compares.

    A check that cannot run is a finding: an input that is not available is content-missing.
    """
    findings: list[Finding] = []
    layers: dict[Accelerator, tuple[BoundLayer, ...]] = {}
    for content in contents:
        lacking = inputs.bring(content.locks[content.accelerator])
        findings += lacking
        if not lacking:
            try:
                layers[content.accelerator] = _layers(content, store)
                findings += _collisions(content, store)
            except InputError as error:
                findings += error.within(f"image {content.accelerator}").findings
    if not layers or len(layers) < len(contents):
        if not findings:
            message = f"only {len(layers)} of {len(contents)} images could be derived"
            findings.append(Finding(Code.DERIVATION_MISMATCH, message, "the index"))
        return Recomputation(tuple(findings))
    made = assemble(_parts(contents, artifacts, layers), store)
    derived, present = set(_derived(made, layers)), set(_present(package))
    return Recomputation(
        unable=tuple(findings),
        differences=tuple(_compared(package, contents, made)),
        checked=len(derived),
        matched=len(derived & present),
    )


def _collisions(content: ImageContents, store: Store) -> list[Finding]:
    """Reports files in which wheels of the image collide, unless its spec accepts them."""
    return file_collisions(
        content.locks[content.accelerator],
        content.model.environment.accepted,
        store,
        file=f"image {content.accelerator}, pylock.{content.accelerator}.toml",
    )


def _parts(
    contents: Sequence[ImageContents],
    artifacts: ArtifactContents,
    layers: dict[Accelerator, tuple[BoundLayer, ...]],
) -> PackageParts:
    first = contents[0]
    return PackageParts(
        model=first.model,
        locks=artifacts.locks,
        documents=artifacts.documents,
        layers=layers,
        starts=artifacts.starts,
    )


def _compared(
    package: Package, contents: Sequence[ImageContents], made: Assembly
) -> Iterator[Difference]:
    images = {image.accelerator: image for image in made.images}
    for content in contents:
        yield from _differences(content, images[content.accelerator])
    children = [child.digest for child in package.index.manifests]
    for pex in made.pexes:
        if pex.descriptor.digest not in children:
            yield from _pex_differences(package, pex)
    if made.model.descriptor.digest not in children:
        yield from _model_differences(package, made.model)
    if made.package.index_bytes != package.index_bytes:
        digest = made.package.descriptor.digest
        yield _mismatch("the index", package.digest, digest)


def _pex_differences(package: Package, made: derive_pex.DerivedPex) -> Iterator[Difference]:
    where = f"PEX {made.accelerator}"
    found = package.artifact("pex", made.accelerator)
    known = derive_pex.read_files(found.manifest)
    expected = derive_pex.read_files(made.manifest)
    for path in sorted(known.keys() | expected.keys()):
        if known.get(path) != expected.get(path):
            yield _file_difference(where, path, known.get(path), expected.get(path))
    yield _mismatch(where, found.descriptor.digest, made.descriptor.digest)


def _model_differences(package: Package, made: ModelArtifact) -> Iterator[Difference]:
    where = "the model artifact"
    found = package.artifact("model")
    known = {file.path: file for file in model_files(package).files}
    config = modelpack.read_config(made.config_bytes)
    expected = {file.path: file for file in modelpack.read(made.manifest, config).files}
    for path in sorted(known.keys() | expected.keys()):
        if known.get(path) != expected.get(path):
            yield _file_difference(where, path, known.get(path), expected.get(path))
    yield _mismatch(where, found.descriptor.digest, made.descriptor.digest)


def _file_difference(
    where: str, path: str, found: _File | None, expected: _File | None
) -> Difference:
    place = f"{where}, {path}"
    if found is None:
        finding = Finding(Code.CONTENT_MISSING, "the file is missing", place)
        return Difference(finding, expected=str(expected and expected.digest))
    if expected is None:
        finding = Finding(Code.CONTENT_EXTRA, "unexpected file", place)
        return Difference(finding, actual=str(found.digest))
    return _mismatch(place, found.digest, expected.digest)


def _derived(made: Assembly, layers: dict[Accelerator, tuple[BoundLayer, ...]]) -> Iterator[Digest]:
    """The digests of every derived blob."""
    yield from (Digest.of(blob) for blob in made.blobs)
    for row in layers.values():
        yield from (one.layer.digest for one in row)


def _present(package: Package) -> Iterator[Digest]:
    """The digests of every blob of a package."""
    yield package.digest
    for child in package.index.manifests:
        yield child.digest
        document = package.sized(child, oci.MANIFEST)
        yield from (blob.digest for blob in oci.pointers(document))


def _layers(content: ImageContents, store: Store) -> tuple[BoundLayer, ...]:
    """Derives the layers of an image from spec, locks and leaves."""
    plans = image_layers.image_layers(
        content.model, content.accelerator, content.locks, content.sources, content.runtime
    )
    derivation = LayerDeriver(store)

    def bind(path: str, _: Leaf) -> Digest:
        if path not in content.files:
            raise InputError(
                "the image lacks this file", where=f"/{path}", code=Code.CONTENT_MISSING
            )
        return content.files[path].digest

    actions = [layer_task(plan.title, plan, bind).action for plan in plans]

    def establish(plan: LayerPlan, action: Action) -> BoundLayer:
        output = derivation.run(action).outputs["layer"]
        assert output.diff_id, "layers have a diff_id"
        return BoundLayer(plan, action.inputs, Layer(output.digest, output.size, output.diff_id))

    with ThreadPoolExecutor(processors()) as pool:
        return tuple(pool.map(establish, plans, actions))


def _differences(content: ImageContents, made: DerivedImage) -> Iterator[Difference]:
    """Compares layer by layer, then the configuration and the manifest."""
    found = content.image
    where = f"image {content.accelerator}"
    expected = [layer.digest for layer in made.manifest.layers]
    actual = [layer.digest for layer in found.manifest.layers]
    for digest in actual:
        if digest not in expected:
            finding = Finding(Code.CONTENT_EXTRA, f"unexpected layer {digest}", where)
            yield Difference(finding, actual=str(digest))
    for position, (layer, other) in enumerate(zip(made.manifest.layers, actual, strict=False)):
        if layer.digest != other:
            title = (layer.annotations or {}).get(LAYER, "")
            yield _mismatch(f"{where}, layer {position} ({title})", other, layer.digest)
    if len(actual) != len(expected):
        message = f"the image has {len(actual)} layers; recomputed: {len(expected)}"
        yield Difference(Finding(Code.DERIVATION_MISMATCH, message, where))
    if oci.encode(found.config) != made.config_bytes:
        config = made.manifest.config.digest
        yield _mismatch(f"{where}, configuration", found.manifest.config.digest, config)
    if found.descriptor.digest != made.descriptor.digest:
        yield _mismatch(where, found.descriptor.digest, made.descriptor.digest)


def _mismatch(where: str, actual: str, expected: str) -> Difference:
    finding = Finding(
        Code.DERIVATION_MISMATCH,
        f"the package has {actual}; recomputed: {expected}",
        where,
        "the package was changed, or made by another version of mpbuild",
    )
    return Difference(finding, expected, actual)
