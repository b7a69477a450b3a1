"""Configuration and manifest: what engines read."""

import msgspec
import pytest

from mpbuild.base import canonical
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.derive import image
from mpbuild.derive.layers.layer import Layer
from mpbuild.derive.layers.layer_plan import FILES, LayerPlan
from mpbuild.formats.oci import oci
from mpbuild.formats.python.pylock import PythonLock
from mpbuild.spec.environment import AcceleratorEnvironment

CPU, CUDA, ROCM = Accelerator
LOCK = PythonLock(
    environment="cpu",
    python="3.11",
    resolution=Digest.of(b"inputs"),
    resolver="uv 0.13.9",
    packages=(),
)


def layers(*titles):
    return [
        (
            LayerPlan(rule=FILES, title=title, inputs={}),
            Layer(Digest.of(title.encode()), 10 + i, Digest.of(b"plain" + title.encode())),
        )
        for i, title in enumerate(titles)
    ]


@pytest.fixture(scope="module")
def made(model):
    return image.image(model, CPU, LOCK, layers("base", "code"))


@pytest.fixture(scope="module")
def of_three(model):
    """A model for three accelerators."""
    accelerators = {a: AcceleratorEnvironment() for a in (ROCM, CUDA, CPU)}
    return msgspec.structs.replace(model, accelerators=accelerators)


def test_documents_are_canonical_and_refer_to_each_other(made):
    for data in (made.config_bytes, made.manifest_bytes):
        assert canonical.encode(canonical.decode(data)) == data
    manifest = oci.read_manifest(made.manifest_bytes)
    assert manifest == made.manifest
    assert manifest.config == oci.descriptor(oci.CONFIG, made.config_bytes)
    assert made.descriptor.digest == Digest.of(made.manifest_bytes)
    assert made.descriptor.annotations == {
        "dev.mpbuild.accelerator": "cpu",
        "dev.mpbuild.kind": "image",
    }


def test_layers_are_in_order_with_titles_and_diff_ids(made):
    config = oci.read_config(made.config_bytes)
    assert [d.annotations for d in made.manifest.layers] == [
        {"dev.mpbuild.layer": "base"},
        {"dev.mpbuild.layer": "code"},
    ]
    assert [d.media_type for d in made.manifest.layers] == [oci.LAYER_GZIP] * 2
    assert config.rootfs.diff_ids == (Digest.of(b"plainbase"), Digest.of(b"plaincode"))
    assert [h.created_by for h in config.history] == [
        "mpbuild files-layer 1: base",
        "mpbuild files-layer 1: code",
    ]


def test_the_size_is_what_a_registry_transfers(made):
    assert made.size == len(made.manifest_bytes) + len(made.config_bytes) + 10 + 11


def test_an_image_runs_the_entry_point_without_rights(made):
    config = oci.read_config(made.config_bytes)
    assert config.config.user == "65532:65532"
    assert config.config.entrypoint == ("/opt/mpbuild/bin/mpbuild-run",)
    assert config.config.working_dir == "/opt/model"
    assert (config.os, config.architecture) == ("linux", "amd64")
    assert config.created == "1980-01-01T00:00:00Z"
    variables = dict(v.split("=", 1) for v in config.config.env)
    assert variables["MPBUILD_ACCELERATOR"] == "cpu"
    assert variables["PYTHONPATH"] == "/opt/model/src:/opt/mpbuild"
    assert variables["PATH"].startswith("/opt/venv/bin:")
    assert list(config.config.env) == sorted(config.config.env)


def test_annotations_tell_versions_of_the_parts(model, made):
    about = made.manifest.annotations
    assert about["org.opencontainers.image.title"] == "digits"
    assert about["org.opencontainers.image.version"] == "1.4.0"
    assert about["org.opencontainers.image.authors"] == "vision-team, data-team"
    assert about["dev.mpbuild.core.version"] == "3.0.0"
    assert about["dev.mpbuild.environment.version"] == "1.1.0"
    assert about["dev.mpbuild.accelerator"] == "cpu"


def test_accelerators_make_different_images_of_the_same_layers(of_three):
    one, other = (image.image(of_three, a, LOCK, layers("base")) for a in (CPU, CUDA))
    assert one.manifest.layers == other.manifest.layers
    assert one.descriptor.digest != other.descriptor.digest
