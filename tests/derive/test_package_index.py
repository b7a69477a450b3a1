"""The index of all children: its order, its annotations, and fields that survive copying."""

import itertools

import msgspec
import pytest

from mpbuild.base import canonical
from mpbuild.base.accelerator import Accelerator
from mpbuild.derive.package_index import package
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.annotations import ACCELERATOR, KIND, PARTIAL


def child(kind, accelerator=None):
    annotations = {KIND: kind} | ({ACCELERATOR: accelerator} if accelerator else {})
    platform = oci.Platform() if kind == "image" else oci.NO_PLATFORM
    data = f"{kind} {accelerator}".encode()
    return oci.descriptor(oci.MANIFEST, data, platform=platform, annotations=annotations)


def children(*accelerators):
    images = [child("image", str(a)) for a in accelerators]
    return [*images, *(child("pex", str(a)) for a in accelerators), child("model")]


@pytest.fixture
def of_three(model):
    (cpu,) = model.accelerators.values()
    return msgspec.structs.replace(model, accelerators=dict.fromkeys(Accelerator, cpu))


def test_images_come_first_cpu_before_all_then_pex_files_then_the_model(of_three):
    expected = children(*Accelerator)
    for shuffled in itertools.islice(itertools.permutations(expected), 0, None, 97):
        made = package(of_three, list(shuffled))
        assert list(made.index.manifests) == expected


@pytest.mark.parametrize(
    ("built", "told"), [(["cpu"], "cpu"), (["rocm", "cpu"], "cpu,rocm"), (["cuda"], "cuda")]
)
def test_a_build_of_some_accelerators_is_marked_as_partial(of_three, built, told):
    made = package(of_three, children(*built))
    assert made.partial
    assert made.index.annotations[PARTIAL] == told


def test_a_build_of_all_accelerators_is_not_partial(of_three):
    made = package(of_three, children(*Accelerator))
    assert not made.partial
    assert PARTIAL not in made.index.annotations


def test_no_descriptor_of_the_index_carries_what_copying_drops(of_three):
    """Some tools drop artifactType when they copy, which would change the digest."""
    document = canonical.decode(package(of_three, children(*Accelerator)).index_bytes)
    assert document["annotations"][KIND] == "package"
    for entry in document["manifests"]:
        assert entry.keys() == {"mediaType", "digest", "size", "platform", "annotations"}


def test_only_images_have_a_platform_that_engines_run(of_three):
    made = package(of_three, children(*Accelerator))
    platforms = {one.annotations[KIND]: one.platform for one in made.index.manifests}
    assert platforms == {
        "image": oci.Platform("amd64", "linux"),
        "pex": oci.Platform("unknown", "unknown"),
        "model": oci.Platform("unknown", "unknown"),
    }
