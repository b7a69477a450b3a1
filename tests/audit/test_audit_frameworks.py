"""Plugins of JAX fit it, ROCm is one, and variants run one release of their framework."""

import msgspec
import pytest

from mpbuild.audit import frameworks, rocm
from mpbuild.derive.elf_needs import ElfFile
from mpbuild.spec.environment import AcceleratorEnvironment, RocmEnvironment, RocmRequirements


def locked(make, environment="cpu", **versions):
    """An environment with packages in these versions; ``_`` stands for ``-``."""
    names = [f"{name}-{version}-py3-none-any.whl" for name, version in versions.items()]
    wheels = {name: make.wheel(name) for name in names}
    return make.subject(wheels, environment=environment, accelerator=AcceleratorEnvironment())


# ---- plugins


@pytest.mark.parametrize(
    "versions",
    [{"jax_cuda13_plugin": "0.12.0", "jax_cuda13_pjrt": "0.12.0"},
     {"jax_cuda12_plugin": "0.12.0.post1"},
     {"jax_rocm7_plugin": "0.12.3", "jax_rocm7_pjrt": "0.12.0"},
     {"jax_rocm10_plugin": "0.12.0"}],
)  # fmt: skip
def test_plugins_of_the_same_release_fit(make, versions):
    assert not list(frameworks.check(locked(make, jax="0.12.0", jaxlib="0.12.0", **versions)))


@pytest.mark.parametrize(
    "versions",
    [
        {"jax_rocm60_plugin": "0.5.0"},
        {"jax_cuda13_pjrt": "0.12.1"},
        {"jax_cuda12_plugin": "0.11.0"},
    ],
)
def test_a_plugin_of_another_release_does_not_fit(make, versions):
    (found,) = frameworks.check(locked(make, jaxlib="0.12.0", **versions))
    ((name, version),) = versions.items()
    assert found.code == "framework-skew"
    assert found.packages == ("jaxlib", name.replace("_", "-"))
    assert f"{version} is for another release of JAX than jaxlib 0.12.0" in found.finding.message


def test_other_packages_are_no_plugins(make):
    assert not list(frameworks.check(locked(make, jaxlib="0.12.0", jax_tools="1.0", orbax="3")))
    assert not list(frameworks.check(locked(make, jax_cuda13_plugin="0.12.0")))


# ---- across accelerators


def across(make, **environments):
    subjects = [locked(make, name, **versions) for name, versions in environments.items()]
    return list(frameworks.across(subjects))


def test_builds_of_one_framework_must_be_of_one_release(make):
    (found,) = across(make, cpu={"onnxruntime": "1.32.0"}, rocm={"onnxruntime_migraphx": "1.27.1"})
    assert found.code == "framework-skew"
    assert found.packages == ("onnxruntime", "onnxruntime-migraphx")
    assert found.finding.message == (
        "cpu runs onnxruntime 1.32.0 and rocm onnxruntime-migraphx 1.27.1:"
        " their answers come from two releases of onnxruntime"
    )
    assert found.finding.severity == "error"
    assert (
        found.finding.where == "lockfiles/digits/pylock.rocm.toml: packages: onnxruntime-migraphx"
    )


def test_other_fixes_of_one_release_are_a_warning(make):
    (found,) = across(make, cpu={"torch": "2.15.0"}, cuda={"torch": "2.15.1+cu130"})
    assert found.finding.severity == "warning"
    assert found.packages == ("torch",)


@pytest.mark.parametrize(
    ("cpu", "cuda"),
    [({"torch": "2.15.0"}, {"torch": "2.15.0+cu130"}),
     ({"onnxruntime": "1.27.0"}, {"onnxruntime_gpu": "1.27.0"}),
     ({"jax": "0.12.0", "jaxlib": "0.12.0"}, {"jax": "0.12.0", "jaxlib": "0.12.0"}),
     ({"onnx": "1.0"}, {"onnxruntime": "2.0"}),
     ({"torch": "2.0", "onnxruntime": "1.0"}, {"torch": "2.0"})],
)  # fmt: skip
def test_builds_of_one_release_agree(make, cpu, cuda):
    assert not across(make, cpu=cpu, cuda=cuda)


def test_builds_in_one_environment_are_for_collisions_to_tell(make):
    assert not across(make, cuda={"onnxruntime": "1.32.0", "onnxruntime_gpu": "1.31.1"})


# ---- ROCm


def rocm_subject(make, *needs, libraries=(), **versions):
    subject = locked(make, "rocm", **versions)
    elf = {"demo/native.so": ElfFile(needed=needs)}
    first = next(iter(subject.facts))
    facts = {**subject.facts, first: msgspec.structs.replace(subject.facts[first], elf=elf)}
    own = RocmEnvironment(requires=RocmRequirements(libraries=libraries))
    return msgspec.structs.replace(subject, facts=facts, accelerator=own)


@pytest.mark.parametrize(
    ("versions", "library"),
    [({"jax_rocm7_plugin": "0.12.0"}, "libamdhip64.so.7"),
     ({"jax_rocm60_pjrt": "0.5.0"}, "libamdhip64.so.6"),
     ({"jax_rocm10_plugin": "0.13.0"}, "libamdhip64.so.10"),
     ({"torch": "2.9.0+rocm7.1"}, "libamdhip64.so.7"),
     ({"torch": "2.5.0+rocm6.2.4"}, "libamdhip64.so.6")],
)  # fmt: skip
def test_the_machine_must_have_the_rocm_of_the_wheels(make, versions, library):
    assert not list(rocm.check(rocm_subject(make, libraries=(library,), **versions)))
    (found,) = rocm.check(rocm_subject(make, libraries=("libamdhip64.so.5",), **versions))
    assert found.code == "spec-invalid"
    assert found.finding.where == "digits/model.toml"
    assert f"write {library}" in found.finding.hint


def test_what_objects_need_tells_of_rocm(make):
    subject = rocm_subject(make, "libamdhip64.so.7", "librocblas.so.5", demo="1.0",
                           libraries=("libamdhip64.so.6", "librocblas.so.5"))  # fmt: skip
    (found,) = rocm.check(subject)
    assert "demo/native.so of demo 1.0 is for ROCm 7" in found.finding.message


def test_wheels_for_two_rocms_are_a_finding(make):
    subject = rocm_subject(make, jax_rocm60_plugin="0.5.0", torch="2.9.0+rocm7.1")
    (found,) = rocm.check(subject)
    assert found.code == "framework-skew"
    assert found.packages == ("jax-rocm60-plugin", "torch")
    assert found.finding.message == (
        "the wheels are for more than one ROCm:"
        " jax-rocm60-plugin 0.5.0: ROCm 6; torch 2.9.0+rocm7.1: ROCm 7"
    )


def test_elsewhere_nobody_asks_for_rocm(make):
    assert not list(rocm.check(locked(make, "cpu", jax_rocm60_plugin="0.5.0", x_rocm7_y="1")))
