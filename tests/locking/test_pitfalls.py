"""Ways in which resolvers lock the wrong thing without a word: here each is refused, or right.

Each was seen with published packages; small wheels stand for them.
"""

import shutil

import pytest

from mpbuild.base.digest import Digest
from mpbuild.formats.python import pylock

CPU = '[accelerators.cpu]\ndependencies = ["{0}"]'
CUDA = '[accelerators.cuda]\ndependencies = ["{0}"]'
ROCM = '[accelerators.rocm]\ndependencies = ["{0}"]'


@pytest.fixture
def audit(world):
    """``audit()``: exit status and codes of what the audit finds in locks that it looks into."""

    def audit() -> tuple[int, set[str]]:
        status, result = world.mpbuild("lock", "--audit")
        return status, {f["code"] for f in result["findings"] if f["severity"] == "error"}

    return audit


def test_a_missing_extra_is_no_lock_without_it(world):
    """jax[rocm] exists no more: uv warns, exits with 0 and locks the CPU alone."""
    world.default.release("jax", "0.12")
    world.model(CPU.format("jax"), ROCM.format("jax[rocm]"))
    status, result = world.mpbuild("lock")
    assert (status, world.file("rocm").exists()) == (2, False)
    (finding,) = result["findings"]
    assert finding["code"] == "resolver-warning"
    assert "does not have an extra named `rocm`" in finding["message"]
    assert finding["where"] == world.line("jax[rocm]")


def test_an_accelerator_that_holds_the_framework_back_holds_back_all(world):
    """jax[rocm7-local] backtracks to another jax than the one that cpu and cuda get."""
    world.default.add(
        "jax-0.12-py3-none-any.whl",
        "Provides-Extra: local",
        "Requires-Dist: plugin>=2; extra == 'local'",
    )
    world.default.add(
        "jax-0.10-py3-none-any.whl",
        "Provides-Extra: local",
        "Requires-Dist: plugin; extra == 'local'",
    )
    world.default.release("plugin", "1.0")
    world.model(CPU.format("jax"), ROCM.format("jax[local]"))
    world.lock()
    assert world.versions("cpu")["jax"] == world.versions("rocm")["jax"] == "0.10"


def test_a_plugin_without_bounds_must_be_of_the_frameworks_release(world, audit):
    """jax-rocm60-* 0.5 resolves beside jax 0.12: the plugin declares no bound."""
    world.default.release("jax", "0.12.0", requires=("jaxlib",))
    world.default.release("jaxlib", "0.12.0")
    world.default.release("jax_rocm60_plugin", "0.5.0")
    world.model(CPU.format("jax"), ROCM.format('jax", "jax-rocm60-plugin'))
    assert world.mpbuild("lock")[0] == 0
    assert audit() == (1, {"framework-skew"})


def test_an_import_that_nobody_declares_is_found(world, audit):
    """onnxruntime-rocm declares no dependency: not even numpy is locked."""
    files = (("onnxruntime/__init__.py", "import numpy\n"),)
    world.default.release("onnxruntime_rocm", "1.22", files=files)
    world.model(ROCM.format("onnxruntime-rocm"))
    assert audit() == (1, {"undeclared-dependency"})
    world.default.release("numpy", "2.0", files=(("numpy/__init__.py", ""),))
    world.model(ROCM.format('onnxruntime-rocm", "numpy'))
    assert audit() == (0, set())


def test_the_bases_glibc_decides_and_no_old_release_is_taken_for_want_of_a_tag(world):
    """A manylinux_2_17 target silently gives torch 2.6 with CUDA 12.4 in place of 2.15."""
    world.default.add("torch-2.6-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")
    world.default.add("torch-2.15-cp311-cp311-manylinux_2_28_x86_64.whl")
    world.model(CPU.format("torch"))
    world.lock()
    assert world.versions() == {"torch": "2.15"}


def test_wheels_that_overwrite_each_others_files_are_found(world, audit):
    """onnxruntime-gpu and what needs onnxruntime lock both: 316 common files, 17 that differ."""
    for name in ("onnxruntime", "onnxruntime_gpu"):
        files = (("onnxruntime/__init__.py", ""), ("onnxruntime/capi/build.py", f"name = '{name}'"))
        world.default.release(name, "1.22", files=files)
    world.default.release("needs_it", "1.0", requires=("onnxruntime",))
    world.model(CUDA.format('onnxruntime-gpu", "needs-it'))
    assert audit() == (1, {"file-collision"})


def test_a_file_name_that_promises_more_than_the_wheel_is_found(world):
    """The file name has manylinux_2_34, its WHEEL linux_x86_64: its glibc was never checked."""
    path = world.default.add("native-1.0-cp311-cp311-linux_x86_64.whl")
    renamed = path.with_name("native-1.0-cp311-cp311-manylinux_2_34_x86_64.whl")
    path.rename(renamed)
    link = f'<a href="{renamed.name}">{renamed.name}</a>'
    (renamed.parent / "index.html").write_text(link)
    world.model(CPU.format("native"))
    _, result = world.mpbuild("lock", "--audit")
    assert "tag-mismatch" in {finding["code"] for finding in result["findings"]}


def test_an_index_gives_what_it_owns_and_captures_nothing(world):
    """An index that isn't explicit captures every name that it hosts."""
    mirror = world.index("torch-rocm")
    world.default.release("numpy", "1.0")
    world.default.release("torch", "9.0")
    mirror.release("numpy", "2.0")
    mirror.release("torch", "2.0", requires=("numpy",))
    world.workspace('[indexes]\ntorch-rocm = { packages = ["torch"] }')
    world.model(ROCM.format("torch"))
    world.lock()
    assert world.packages("rocm") == [
        ("numpy", "1.0", "default"),
        ("torch", "2.0", "torch-rocm"),
    ]


def test_a_tampered_hash_is_an_alarm_and_never_locked_anew(world):
    """A relock silently rewrites a tampered hash, and a check accepts it."""
    world.default.release("torch", "2.0")
    world.model(CPU.format("torch"))
    world.lock()
    good = world.file().read_text()
    (package,) = pylock.read(good, file="x").packages
    other = Digest.of(b"something else").hex
    tampered = good.replace(package.wheel.sha256.hex, other)
    world.file().write_text(tampered)
    assert world.mpbuild("lock", "--check")[1]["findings"][0]["code"] == "lock-drift"
    resealed = pylock.write(pylock.read(tampered, file="x"))
    world.file().write_text(resealed)
    for words in (("lock",), ("lock", "--check=resolve"), ("lock", "--check=cross")):
        status, result = world.mpbuild(*words)
        assert status != 0
        assert "content-mismatch" in {finding["code"] for finding in result["findings"]}
        assert world.file().read_text() == resealed


@pytest.mark.parametrize(
    "environ",
    [
        {"UV_CONSTRAINT": "bounds.txt"},
        {"UV_OVERRIDE": "bounds.txt"},
        {"UV_EXCLUDE_NEWER": "2000-01-01T00:00:00Z"},
        {"UV_FIND_LINKS": "elsewhere"},
        {"UV_INDEX_STRATEGY": "unsafe-best-match"},
        {"UV_PRERELEASE": "allow"},
        {"UV_RESOLUTION": "lowest"},
        {"PIP_CONSTRAINT": "bounds.txt"},
    ],
)
def test_nothing_around_decides_what_is_locked(world, environ):
    """UV_CONSTRAINT applies even with UV_NO_CONFIG; a uv.toml in the folder does without it."""
    world.default.release("torch", "1.0", "2.0", "3.0rc1")
    (world.root / "bounds.txt").write_text("torch<2\n")
    (world.root / "uv.toml").write_text('constraint-dependencies = ["torch<2"]\n')
    (world.root / "a/uv.toml").write_text('[pip]\nresolution = "lowest"\n')
    (world.root / "elsewhere").mkdir()
    wheel = world.default.add("torch-9.0-py3-none-any.whl")
    shutil.copy(wheel, world.root / "elsewhere")
    world.default.remove(wheel)
    world.model(CPU.format("torch"))
    world.lock(**environ)
    assert world.versions() == {"torch": "2.0"}


def test_two_cudas_in_one_lock_are_refused(world):
    world.default.release("torch", "2.0", requires=("nvidia-cuda-runtime",))
    world.default.release("nvidia_cuda_runtime", "13.0")
    world.default.release("nvidia_cudnn_cu12", "9.0")
    world.model(CUDA.format('torch", "nvidia-cudnn-cu12'))
    status, result = world.mpbuild("lock")
    assert status == 2
    assert "for more than one CUDA" in result["findings"][0]["message"]


def test_a_driver_below_the_locks_floor_is_reported_with_both_versions(world):
    world.default.release("torch", "2.0", requires=("nvidia-cuda-runtime",))
    world.default.release("nvidia_cuda_runtime", "13.0")
    world.model(CUDA.format("torch") + '\nrequires = { driver = ">=525" }')
    status, result = world.mpbuild("lock")
    assert status == 2
    assert "CUDA 13.0 of the lock needs 580" in result["findings"][0]["message"]


def test_variants_of_one_model_run_one_release_of_a_framework(world, audit):
    world.default.release("onnxruntime", "1.32.0")
    world.default.release("onnxruntime_migraphx", "1.27.1")
    world.model(CPU.format("onnxruntime"), ROCM.format("onnxruntime-migraphx"))
    assert audit() == (1, {"framework-skew"})
    accepted = (
        '[[environment.accepted]]\ncode = "framework-skew"\n'
        'packages = ["onnxruntime", "onnxruntime-migraphx"]\nreason = "Compared by hand."'
    )
    world.model(CPU.format("onnxruntime"), ROCM.format("onnxruntime-migraphx"), accepted)
    assert audit() == (0, set())


def test_scripts_that_two_wheels_install_are_found(world, audit):
    for name in ("one", "two"):
        files = (
            (f"{name}-1.0.dist-info/entry_points.txt", f"[console_scripts]\nrun = {name}:run\n"),
        )
        world.default.release(name, "1.0", files=files)
    world.model(CPU.format('one", "two'))
    assert audit() == (1, {"entry-point-collision"})


def test_an_audit_that_finds_an_error_writes_nothing(world):
    world.default.release("one", "1.0", files=(("same.py", "1"),))
    world.default.release("two", "1.0", files=(("same.py", "2"),))
    world.model(CPU.format('one", "two'))
    assert world.mpbuild("lock", "--audit")[0] == 1
    assert not world.file().exists()


def test_of_an_index_without_hashes_the_bytes_are_hashed(world, serve):
    """Some indexes of frameworks give no sha256: what they serve is pinned all the same."""
    path = world.default.add("torch-2.0-py3-none-any.whl")
    (path.parent / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
    world.model(CPU.format("torch"))
    with serve(world.default.folder) as url:
        world.lock(UV_DEFAULT_INDEX=url)
    assert Digest.of(path.read_bytes()).hex in world.file().read_text()
