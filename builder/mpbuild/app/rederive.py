"""The whole index again, from leaves and inputs, by the functions that built it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from mpbuild.app.artifacts import Artifacts, model_files
from mpbuild.app.assembly import Assembly, Made, Parts, assemble
from mpbuild.app.derivation import Derivation, layer_task
from mpbuild.app.inputs import Inputs
from mpbuild.app.leaves import Contents
from mpbuild.app.reference import Package
from mpbuild.app.wheel_trees import file_collisions
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import pex as derive_pex
from mpbuild.derive import recipe
from mpbuild.derive.image import Image
from mpbuild.derive.layer import Layer
from mpbuild.derive.model_artifact import ModelArtifact
from mpbuild.derive.plan import LayerPlan, Leaf
from mpbuild.effects.host import processors
from mpbuild.effects.store import Store
from mpbuild.formats import modelpack, oci
from mpbuild.formats.annotations import LAYER

_File = derive_pex.File | modelpack.File


class Difference(NamedTuple):
    """A finding about something that has another digest than it should; empty where it has none."""

    finding: Finding
    expected: str = ""
    actual: str = ""


class Rederived(msgspec.Struct, frozen=True):
    """Where a package differs from what its leaves and inputs give, and how much was derived.

    ``unable`` says what kept that from being told, and which wheels hide files of each other.
    ``checked`` counts blobs that derive functions make: layers, configurations, documents,
    manifests, the index; ``matched`` of them are in the package as they were derived.
    """

    unable: tuple[Finding, ...] = ()
    differences: tuple[Difference, ...] = ()
    checked: int = 0
    matched: int = 0

    @property
    def findings(self) -> list[Finding]:
        """All that is wrong."""
        return [*self.unable, *(difference.finding for difference in self.differences)]


def rederive(
    package: Package,
    contents: Sequence[Contents],
    artifacts: Artifacts,
    store: Store,
    inputs: Inputs,
) -> Rederived:
    """Derive all of ``package`` again and compare.

    Nothing is taken from a cache. A check that could not run is a finding, too: an input that
    can't be had is content-missing.
    """
    findings: list[Finding] = []
    layers: dict[Accelerator, tuple[Made, ...]] = {}
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
            message = f"of its {len(contents)} images {len(layers)} were derived again"
            findings.append(Finding("derivation-mismatch", message, "the index"))
        return Rederived(tuple(findings))
    made = assemble(_parts(contents, artifacts, layers), store)
    derived, present = set(_derived(made, layers)), set(_present(package))
    return Rederived(
        unable=tuple(findings),
        differences=tuple(_compared(package, contents, made)),
        checked=len(derived),
        matched=len(derived & present),
    )


def _collisions(content: Contents, store: Store) -> list[Finding]:
    """What wheels of the image hide of each other, unless its spec accepts it."""
    return file_collisions(
        content.locks[content.accelerator],
        content.model.environment.accepted,
        store,
        file=f"image {content.accelerator}, pylock.{content.accelerator}.toml",
    )


def _parts(
    contents: Sequence[Contents],
    artifacts: Artifacts,
    layers: dict[Accelerator, tuple[Made, ...]],
) -> Parts:
    first = contents[0]
    return Parts(
        model=first.model,
        locks=artifacts.locks,
        documents=artifacts.documents,
        layers=layers,
        starts=artifacts.starts,
    )


def _compared(
    package: Package, contents: Sequence[Contents], made: Assembly
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


def _pex_differences(package: Package, made: derive_pex.Pex) -> Iterator[Difference]:
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
        finding = Finding("content-missing", "the file is not in it", place)
        return Difference(finding, expected=str(expected and expected.digest))
    if expected is None:
        finding = Finding("content-extra", "nothing accounts for this file", place)
        return Difference(finding, actual=str(found.digest))
    return _mismatch(place, found.digest, expected.digest)


def _derived(made: Assembly, layers: dict[Accelerator, tuple[Made, ...]]) -> Iterator[Digest]:
    """The digests of everything that derive functions made."""
    yield from (Digest.of(blob) for blob in made.blobs)
    for row in layers.values():
        yield from (one.layer.digest for one in row)


def _present(package: Package) -> Iterator[Digest]:
    """The digests of everything that a package consists of."""
    yield package.digest
    for child in package.index.manifests:
        yield child.digest
        document = package.sized(child, oci.MANIFEST)
        yield from (blob.digest for blob in oci.pointers(document))


def _layers(content: Contents, store: Store) -> tuple[Made, ...]:
    """The layers that spec, locks and leaves give."""
    plans = recipe.image_layers(
        content.model, content.accelerator, content.locks, content.sources, content.runtime
    )
    derivation = Derivation(store)
    bound = [_bound(plan, content) for plan in plans]

    def establish(plan: LayerPlan) -> Made:
        action = layer_task(plan.title, plan, _unbound).action
        output = derivation.run(action).outputs["layer"]
        assert output.diff_id, "a layer has one"
        return Made(plan, Layer(output.digest, output.size, output.diff_id))

    with ThreadPoolExecutor(processors()) as pool:
        return tuple(pool.map(establish, bound))


def _unbound(path: str, leaf: Leaf) -> Digest:
    raise AssertionError(f"{leaf} at {path} is bound before")


def _bound(plan: LayerPlan, content: Contents) -> LayerPlan:
    """The plan with each leaf replaced by what the image has at its path."""
    missing = [
        path
        for path, source in plan.inputs.items()
        if isinstance(source, Leaf) and path not in content.files
    ]
    if missing:
        raise InputError(
            "the image lacks this file", where=f"/{missing[0]}", code="content-missing"
        )
    inputs = {
        path: content.files[path].digest if isinstance(source, Leaf) else source
        for path, source in plan.inputs.items()
    }
    return msgspec.structs.replace(plan, inputs=inputs)


def _differences(content: Contents, made: Image) -> Iterator[Difference]:
    """Layer by layer, then the configuration and the manifest."""
    found = content.image
    where = f"image {content.accelerator}"
    expected = [layer.digest for layer in made.manifest.layers]
    actual = [layer.digest for layer in found.manifest.layers]
    for digest in actual:
        if digest not in expected:
            finding = Finding("content-extra", f"nothing derives the layer {digest}", where)
            yield Difference(finding, actual=str(digest))
    for position, (layer, other) in enumerate(zip(made.manifest.layers, actual, strict=False)):
        if layer.digest != other:
            title = (layer.annotations or {}).get(LAYER, "")
            yield _mismatch(f"{where}, layer {position} ({title})", other, layer.digest)
    if len(actual) != len(expected):
        message = f"it has {len(actual)} layers, and spec and locks give {len(expected)}"
        yield Difference(Finding("derivation-mismatch", message, where))
    if oci.encode(found.config) != made.config_bytes:
        config = made.manifest.config.digest
        yield _mismatch(f"{where}, configuration", found.manifest.config.digest, config)
    if found.descriptor.digest != made.descriptor.digest:
        yield _mismatch(where, found.descriptor.digest, made.descriptor.digest)


def _mismatch(where: str, actual: str, expected: str) -> Difference:
    finding = Finding(
        "derivation-mismatch",
        f"it is {actual}, and leaves and inputs give {expected}",
        where,
        "somebody changed the package after it was derived, or another mpbuild made it",
    )
    return Difference(finding, expected, actual)
