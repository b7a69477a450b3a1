"""The whole index again, from leaves and inputs, by the functions that built it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from mpbuild.app.derivation import Derivation, layer_task
from mpbuild.app.inputs import Inputs
from mpbuild.app.leaves import Contents
from mpbuild.app.reference import Package
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import image as derive_image
from mpbuild.derive import recipe
from mpbuild.derive.layer import Layer
from mpbuild.derive.plan import LayerPlan, Leaf
from mpbuild.effects.host import processors
from mpbuild.effects.store import Store
from mpbuild.formats import oci
from mpbuild.formats.annotations import LAYER


def rederive(
    package: Package, contents: Sequence[Contents], store: Store, inputs: Inputs
) -> list[Finding]:
    """Where the package differs from what its leaves and inputs give.

    Nothing is taken from a cache. A check that could not run is a finding, too: an input that
    can't be had is content-missing.
    """
    findings: list[Finding] = []
    images: dict[Accelerator, derive_image.Image] = {}
    for content in contents:
        lacking = inputs.bring(content.locks[content.accelerator])
        findings += lacking
        if not lacking:
            try:
                made = images[content.accelerator] = _image(content, store)
                findings += _differences(content, made)
            except InputError as error:
                findings += error.within(f"image {content.accelerator}").findings
    if len(images) == len(package.index.manifests) and images:
        made_index = derive_image.package(contents[0].model, list(images.values()))
        if made_index.index_bytes != package.index_bytes:
            digest = made_index.descriptor.digest
            findings.append(_mismatch("the index", package.digest, digest))
    elif not findings:
        message = f"of its {len(package.index.manifests)} images {len(images)} were derived again"
        findings.append(Finding("derivation-mismatch", message, "the index"))
    return findings


def _image(content: Contents, store: Store) -> derive_image.Image:
    """The image that spec, locks and leaves give."""
    plans = recipe.image_layers(
        content.model, content.accelerator, content.locks, content.sources, content.runtime
    )
    derivation = Derivation(store)
    bound = [_bound(plan, content) for plan in plans]

    def establish(plan: LayerPlan) -> tuple[LayerPlan, Layer]:
        action = layer_task(plan.title, plan, {}).action
        output = derivation.run(action).outputs["layer"]
        assert output.diff_id, "a layer has one"
        return plan, Layer(output.digest, output.size, output.diff_id)

    with ThreadPoolExecutor(processors()) as pool:
        return derive_image.image(
            content.model, content.accelerator, list(pool.map(establish, bound))
        )


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


def _differences(content: Contents, made: derive_image.Image) -> Iterator[Finding]:
    """Layer by layer, then the configuration and the manifest."""
    found = content.image
    where = f"image {content.accelerator}"
    expected = [layer.digest for layer in made.manifest.layers]
    actual = [layer.digest for layer in found.manifest.layers]
    for digest in actual:
        if digest not in expected:
            yield Finding("content-extra", f"nothing derives the layer {digest}", where)
    for position, (layer, other) in enumerate(zip(made.manifest.layers, actual, strict=False)):
        if layer.digest != other:
            title = (layer.annotations or {}).get(LAYER, "")
            yield _mismatch(f"{where}, layer {position} ({title})", other, layer.digest)
    if len(actual) != len(expected):
        yield Finding(
            "derivation-mismatch",
            f"it has {len(actual)} layers, and spec and locks give {len(expected)}",
            where,
        )
    if oci.encode(found.config) != made.config_bytes:
        config = made.manifest.config.digest
        yield _mismatch(f"{where}, configuration", found.manifest.config.digest, config)
    if found.descriptor.digest != made.descriptor.digest:
        yield _mismatch(where, found.descriptor.digest, made.descriptor.digest)


def _mismatch(where: str, actual: str, expected: str) -> Finding:
    return Finding(
        "derivation-mismatch",
        f"it is {actual}, and leaves and inputs give {expected}",
        where,
        "somebody changed the package after it was derived, or another mpbuild made it",
    )
