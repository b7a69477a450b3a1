"""One package for three accelerators: whole, sharing what it can, and told apart where it must."""

import json

import pytest

LOCKED = "spec and locks"
KINDS = ("images", "pex")


def titles(names):
    """Layers that ran, without what makes their names unique."""
    return {name.rpartition(":")[0] if name.startswith("layer:") else name for name in names}


def test_the_package_is_whole_and_its_images_come_first_the_cpus_first_of_all(whole):
    target = whole.built.target
    assert target["package"]["partial"] is False
    assert "dev.mpbuild.partial" not in whole.index["annotations"]
    about = [child["annotations"] for child in whole.index["manifests"]]
    assert [(a["dev.mpbuild.kind"], a.get("dev.mpbuild.accelerator")) for a in about] == [
        *(("image", accelerator) for accelerator in ("cpu", "cuda", "rocm")),
        *(("pex", accelerator) for accelerator in ("cpu", "cuda", "rocm")),
        ("model", None),
    ]
    platforms = [child["platform"] for child in whole.index["manifests"]]
    assert platforms[:3] == [{"architecture": "amd64", "os": "linux"}] * 3
    assert platforms[3:] == [{"architecture": "unknown", "os": "unknown"}] * 4
    for kind in KINDS:
        assert [child["accelerator"] for child in target[kind]] == ["cpu", "cuda", "rocm"]


def test_each_image_tells_a_container_runtime_what_it_needs(whole):
    found = {}
    for accelerator, manifest in whole.children("image").items():
        config = whole.document(manifest["config"]["digest"])["config"]
        variables = dict(entry.split("=", 1) for entry in config["Env"])
        assert variables.pop("MPBUILD_ACCELERATOR") == accelerator
        found[accelerator] = {n: v for n, v in variables.items() if n.startswith(("NVIDIA", "AMD"))}
    assert found == {
        "cpu": {},
        "cuda": {
            "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
            "NVIDIA_REQUIRE_CUDA": "cuda>=13.0,driver>=580,arch>=7.5",
            "NVIDIA_VISIBLE_DEVICES": "all",
        },
        "rocm": {"AMD_VISIBLE_DEVICES": "all"},
    }


def test_what_accelerators_share_is_one_blob(whole):
    cpu, cuda, rocm = whole.blobs_of("image").values()
    own = {"engine 1.0", "engine-cuda 1.0", "engine-rocm 1.0", "nvidia-cuda-runtime 13.0.96"}
    shared = {title for title in cpu if cpu[title] == cuda.get(title) == rocm.get(title)}
    assert {"arrays 2.0", "code", "files", "weights numbers 1.0.0", "mpbuild runtime"} <= shared
    assert any(title.startswith("base: ") for title in shared)
    told = {title for image in (cpu, cuda, rocm) for title in image} - shared
    names = {name for title in told for name in title.split(", ")}
    assert own <= names <= {*own, "bytecode", "small 2.0", LOCKED}

    wheels = whole.blobs_of("pex").values()
    assert len({pex[".deps/arrays-2.0-py3-none-any.whl"] for pex in wheels}) == 1
    assert len({pex["weights/numbers"] for pex in wheels}) == 1
    sizes = [image["size"] for image in whole.built.target["images"]]
    assert whole.built.target["package"]["size"] < sum(sizes), "which are 1.2 MB each"


def test_one_accelerator_first_and_the_rest_reuses_it(whole, fresh):
    part = fresh.build("--accelerator", "cuda")
    assert part.target["package"]["partial"] is True
    assert [image["accelerator"] for image in part.target["images"]] == ["cuda"]
    first = part.ran
    rest = fresh.build()
    assert rest.digest == whole.built.digest
    assert rest.target["package"]["partial"] is False
    assert rest.ran & first == set()
    assert {name for name in titles(rest.ran) if "cuda" in name} == set()
    for kind in KINDS:
        assert rest.child(kind, "cuda") == part.child(kind, "cuda")


def test_whatever_came_first_the_package_is_the_same(whole, fresh):
    for accelerator in ("rocm", "cpu"):
        assert fresh.build("--accelerator", accelerator).target["package"]["partial"] is True
    pair = fresh.build("--accelerator", "rocm", "--accelerator", "cpu")
    assert [image["accelerator"] for image in pair.target["images"]] == ["cpu", "rocm"]
    found = json.loads((fresh.store / "blobs/sha256" / pair.digest[7:]).read_bytes())
    assert found["annotations"]["dev.mpbuild.partial"] == "cpu,rocm"
    assert fresh.build().digest == whole.built.digest


def test_a_target_means_its_last_build_whichever_accelerators_it_was_for(fresh):
    cuda, every = ("--accelerator", "cuda"), ()
    for options in (cuda, every, cuda, every):
        answer = fresh.build(*options)
        assert fresh("inspect", "//models/three").json["digest"] == answer.digest


def test_a_wheel_more_for_cuda_changes_no_other_image(whole, built, wheels):
    """It came with the resolution: the spec is the same, and one lock is another."""
    built.lock(cuda=(*wheels.usual["cuda"], wheels.pure("extra")))
    answer = built.build()
    changed = {name.removeprefix("layer:") for name in titles(answer.ran)}
    assert [title for title in changed - {LOCKED} if "extra 1.0" not in title] == []
    for kind in KINDS:
        for accelerator in ("cpu", "rocm"):
            assert answer.child(kind, accelerator) == whole.built.child(kind, accelerator)
        assert answer.child(kind, "cuda") != whole.built.child(kind, "cuda")
    model = answer.target["model"]["digest"]
    assert model != whole.built.target["model"]["digest"], "it holds the locks of all"


def test_a_requirement_more_for_cuda_changes_spec_and_locks_of_the_others_alone(
    whole, built, wheels, tmp_path
):
    """Every image holds the spec, and a lock says which spec it answers to."""
    text = built.spec.read_text()
    built.spec.write_text(text.replace('["engine-cuda"]', '["engine-cuda", "extra"]'))
    built.lock(cuda=(*wheels.usual["cuda"], wheels.pure("extra")))
    answer = built.build("--output", tmp_path / "layout")
    after = whole._replace(built=answer, layout=tmp_path / "layout")
    before, again = whole.blobs_of("image"), after.blobs_of("image")
    for accelerator in ("cpu", "rocm"):
        old, new = before[accelerator], again[accelerator]
        assert old.keys() == new.keys()
        assert {title for title in old if old[title] != new[title]} == {LOCKED}
    assert before["cuda"].keys() != again["cuda"].keys()


UNMET = {
    "the runtime is not there": (
        {
            "cuda": lambda wheels: [
                w for w in wheels.usual["cuda"] if w.name != "nvidia-cuda-runtime"
            ]
        },
        "needs libcudart.so.13, which nothing in the image supplies",
    ),
    "the runtime is another": (
        {
            "cuda": lambda wheels: [
                *(w for w in wheels.usual["cuda"] if w.name != "nvidia-cuda-runtime"),
                wheels.cuda_runtime(defines="libcudart.so.13.1"),
            ]
        },
        "needs libcudart.so.13 of libcudart.so.13, which /opt/venv/",
    ),
    "what only the driver of another has": (
        {
            "rocm": lambda wheels: [
                *wheels.usual["rocm"],
                wheels.native("more", "more", **{"libcuda.so.1": ()}),
            ]
        },
        "needs libcuda.so.1, which nothing in the image supplies",
    ),
    "the base is too old": (
        {
            "cpu": lambda wheels: [
                *wheels.usual["cpu"],
                wheels.native("more", "more", **{"libstdc++.so.6": ("GLIBCXX_3.4.31",)}),
            ]
        },
        "needs GLIBCXX_3.4.31 of libstdc++.so.6, which /usr/lib/",
    ),
}


@pytest.mark.parametrize(("other", "message"), UNMET.values(), ids=UNMET)
def test_what_an_image_lacks_is_reported_by_name(built, wheels, other, message):
    ((accelerator, change),) = other.items()
    built.lock(**{accelerator: tuple(change(wheels))})
    answer = built.build()
    assert answer.code == 2
    (finding,) = answer.json["findings"]
    assert finding["code"] == "elf-unmet"
    assert finding["where"].endswith(("engine/native.so", "more/native.so"))
    assert finding["message"].startswith(message)
    unconcerned = "rocm" if accelerator == "cuda" else "cuda"
    assert built.build("--accelerator", unconcerned).code == 0


def test_what_the_machine_supplies_must_be_declared(built):
    text = built.spec.read_text()
    built.spec.write_text(text.replace(', libraries = ["libamdhip64.so.7"]', ""))
    answer = built.build()
    assert answer.code == 2
    (finding,) = answer.json["findings"]
    assert finding["message"].startswith("needs libamdhip64.so.7, which nothing in the image")
    assert "libraries" in finding["hint"]
