"""`mpbuild lock` from end to end: what is written, what stays, what is refused and where."""

import os
import signal
import socket

import pytest

CPU = '[accelerators.cpu]\ndependencies = ["fast"]'
CUDA = '[accelerators.cuda]\ndependencies = ["fast-gpu"]'
TORCH = """\
[indexes]
default = {}
torch-cpu = { packages = ["torch"], accelerators = ["cpu"] }
torch-cuda = { packages = ["torch", "nvidia-*"], accelerators = ["cuda"] }
"""
# mpbuild that kills itself once so many locks are written, and the next is to be put in its place.
KILLED = """\
import os, signal, sys
from mpbuild.cli.root import run
left = int(sys.argv[1])
def hook(event, arguments):
    global left
    if event == "os.rename" and "lockfiles" in os.fsdecode(arguments[1]):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
sys.addaudithook(hook)
run(["lock", "--upgrade"])
"""


@pytest.fixture
def three(world):
    """A target with cpu, cuda and train, whose packages have newer releases after locking."""
    world.default.release("fast", "1.0", requires=("shared",))
    world.default.release("fast_gpu", "1.0", requires=("shared",))
    world.default.release("shared", "1.0")
    world.default.release("trainer", "1.0", requires=("shared",))
    world.model(CPU, CUDA, '[environments.train]\ndependencies = ["trainer"]')
    world.lock()
    for name in ("fast", "fast_gpu", "shared", "trainer"):
        world.default.release(name, "2.0", requires=() if name == "shared" else ("shared",))
    return world


def test_locking_again_changes_nothing_though_there_are_newer_releases(three):
    before = three.locks()
    assert len(before) == 6
    assert [lock["changed"] for lock in three.lock()["locks"]] == [[]] * 6
    assert three.locks() == before
    assert three.mpbuild("lock", "--check=resolve")[0] == 0


def test_upgrading_one_package_moves_it_everywhere_and_nothing_else(three):
    result = three.lock("--upgrade=Shared")
    moved = [(lock["environment"], lock["changed"]) for lock in result["locks"] if lock["changed"]]
    change = [{"name": "shared", "from": "1.0", "to": "2.0"}]
    assert moved == [("cpu", change), ("cuda", change), ("train", change)]


def test_upgrading_everything_takes_the_newest(three):
    three.lock("--upgrade")
    assert three.versions("cuda") == {"fast-gpu": "2.0", "shared": "2.0"}
    assert three.versions("train") == {"shared": "2.0", "trainer": "2.0"}


def test_upgrading_what_is_in_no_lock_is_refused_with_the_nearest_name(three):
    status, result = three.mpbuild("lock", "--upgrade=sharde")
    assert status == 2
    assert "no lock has a package 'sharde'" in result["findings"][0]["message"]
    assert result["findings"][0]["hint"] == "did you mean shared?"


def test_a_bare_option_takes_no_target_for_its_value(three):
    assert three.lock("--upgrade", "//a")["locks"][0]["label"] == "//a"
    assert three.mpbuild("lock", "--check", "//a")[0] == 0


def test_checking_and_upgrading_exclude_each_other(three):
    status, result = three.mpbuild("lock", "--check", "--upgrade")
    assert (status, "can't be combined" in result["findings"][0]["message"]) == (2, True)


def test_one_accelerators_locks_are_written_alone(three):
    before = three.file("cuda").read_bytes()
    three.model(CPU.replace('"fast"', '"fast", "shared"'), CUDA)
    result = three.lock("--accelerator", "cpu")
    assert {lock["environment"] for lock in result["locks"]} == {"cpu"}
    assert three.file("cuda").read_bytes() == before
    assert three.mpbuild("lock", "--check", "--accelerator", "cpu")[0] == 0
    assert three.mpbuild("lock", "--check", "--accelerator", "cuda")[0] == 2


def test_a_release_that_is_gone_shows_when_resolving_and_not_before(three):
    (old,) = three.default.folder.glob("shared/shared-1.0*")
    three.default.remove(old)
    assert three.mpbuild("lock", "--check")[0] == 0
    status, result = three.mpbuild("lock", "--check=resolve")
    assert status == 2
    assert {finding["code"] for finding in result["findings"]} == {"lock-drift"}
    assert result["findings"][0]["where"] == "lockfiles/a/pylock.cpu.toml"
    assert result["findings"][0]["message"] == "shared would be 2.0, not 1.0"


@pytest.mark.parametrize(
    "words", [("lock",), ("lock", "--upgrade=fast"), ("lock", "--check=resolve")]
)
def test_other_bytes_under_a_locked_name_are_an_alarm_and_nothing_is_written(three, words):
    three.default.add("shared-1.0-py3-none-any.whl", content="other bytes")
    before = three.file().read_bytes()
    status, result = three.mpbuild(*words)
    assert status != 0
    assert {finding["code"] for finding in result["findings"]} == {"content-mismatch"}
    assert "shared-1.0-py3-none-any.whl" in result["findings"][0]["where"]
    assert three.file().read_bytes() == before


def test_a_yanked_release_is_an_error_with_a_hint_how_to_upgrade(three):
    three.default.add("shared-1.0-py3-none-any.whl", attributes=' data-yanked="broken"')
    status, result = three.mpbuild("lock")
    assert status == 2
    assert "yanked" in result["findings"][0]["message"]
    assert "--upgrade" in result["findings"][0]["hint"]
    three.lock("--upgrade=shared")
    assert three.versions()["shared"] == "2.0"


def test_constraints_bound_and_bring_nothing_in(world):
    world.default.release("fast", "1.0", "2.0", "3.0")
    world.default.release("absent", "1.0")
    world.workspace('[lock]\nconstraints = ["fast<3"]')
    world.model(CPU, more='constraints = ["fast<2", "absent>=1"]\n')
    world.lock()
    assert world.versions() == {"fast": "1.0"}
    world.workspace('[lock]\nconstraints = ["fast<1"]')
    status, result = world.mpbuild("lock")
    assert status == 2
    (finding,) = result["findings"]
    assert f"{world.line('fast<1', 'mpbuild.toml')} (lock) requires fast<1" in finding["message"]
    assert f"{world.line('constraints')} (environment) requires fast<2" in finding["message"]


def test_an_override_replaces_what_packages_ask_for(world):
    world.default.release("fast", "1.0", requires=("shared<2",))
    world.default.release("shared", "1.0", "2.0")
    override = 'overrides = [{ requirement = "shared>=2", reason = "the bound is too strict" }]\n'
    world.model(CPU)
    world.lock()
    assert world.versions() == {"fast": "1.0", "shared": "1.0"}
    world.model(CPU, more=override)
    assert world.mpbuild("lock", "--check")[0] == 2
    world.lock()
    assert world.versions() == {"fast": "1.0", "shared": "2.0"}
    digest = world.file().read_bytes()
    world.model(CPU, more=override.replace("too strict", "wrong"))
    assert world.mpbuild("lock", "--check")[0] == 0
    world.lock()
    assert world.file().read_bytes() == digest


@pytest.fixture
def split(world):
    """torch comes from an index of its own for each accelerator, as it does in life."""
    cpu, cuda = world.index("torch-cpu"), world.index("torch-cuda")
    world.default.release("model", "1.0", requires=("torch", "shared"))
    world.default.release("shared", "1.0", "2.0")
    world.default.add("torch-9.0-py3-none-any.whl", "Requires-Dist: nvidia-cublas")
    world.default.release("nvidia_cublas", "99.0")
    for version, shared in (("1.0", "shared"), ("2.0", "shared<2")):
        cpu.add(f"torch-{version}+cpu-py3-none-any.whl", f"Requires-Dist: {shared}")
        lines = (f"Requires-Dist: {shared}", "Requires-Dist: nvidia-cublas")
        cuda.add(f"torch-{version}+cu130-py3-none-any.whl", *lines)
    cuda.release("nvidia_cublas", "13.0")
    world.workspace(TORCH)
    world.model(
        '[accelerators.cpu]\ndependencies = ["model"]',
        '[accelerators.cuda]\ndependencies = ["model"]',
        '[environments.train]\ndependencies = ["torch"]',
        '[environments.tune]\naccelerator = "cuda"\ndependencies = ["torch"]',
    )
    return world


def test_each_accelerator_takes_the_framework_from_its_own_index(split):
    split.lock()
    assert split.packages("cpu") == [
        ("model", "1.0", "default"),
        ("shared", "1.0", "default"),
        ("torch", "2.0+cpu", "torch-cpu"),
    ]
    assert split.packages("cuda") == [
        ("model", "1.0", "default"),
        ("nvidia-cublas", "13.0", "torch-cuda"),
        ("shared", "1.0", "default"),
        ("torch", "2.0+cu130", "torch-cuda"),
    ]
    assert split.packages("train") == [
        ("shared", "1.0", "default"),
        ("torch", "2.0+cpu", "torch-cpu"),
    ]
    assert ("torch", "2.0+cu130", "torch-cuda") in split.packages("tune")
    before = split.file("cuda").read_bytes()
    split.lock()
    assert split.file("cuda").read_bytes() == before
    assert split.mpbuild("lock", "--check=resolve")[0] == 0


def test_builds_of_a_framework_have_one_public_version(split):
    split.indexes["torch-cuda"].remove(
        next(split.indexes["torch-cuda"].folder.glob("torch/torch-2.0*"))
    )
    split.lock()
    assert split.versions("cpu")["torch"] == "1.0+cpu"
    assert split.versions("cuda")["torch"] == "1.0+cu130"


def test_without_a_common_version_the_accelerators_exclude_each_other(split):
    index = split.indexes["torch-cuda"]
    for wheel in list(index.folder.glob("torch/torch-*.whl")):
        index.remove(wheel)
    index.add("torch-3.0+cu130-py3-none-any.whl")
    status, result = split.mpbuild("lock")
    assert status == 2
    assert "cpu, cuda are incompatible" in result["findings"][0]["message"]


def test_wheels_are_fetched_from_the_index_that_the_lock_names(split):
    split.lock()
    status, result = split.mpbuild("fetch", "--accelerator", "cuda")
    assert status != 0
    told = " ".join(finding["message"] + finding["where"] for finding in result["findings"])
    assert "torch" not in told
    assert "pex" in told


def test_an_index_without_a_url_is_named(split):
    status, result = split.mpbuild("lock", UV_INDEX="")
    assert status == 2
    assert "the index torch-cpu has no URL" in result["findings"][0]["message"]


def test_a_workspace_may_have_no_index_but_a_folder(world):
    world.default.release("fast", "1.0", requires=("shared",))
    world.default.release("shared", "1.0")
    (world.root / "wheels").mkdir()
    for wheel in list(world.default.folder.glob("*/*.whl")):
        wheel.rename(world.root / "wheels" / wheel.name)
    world.workspace('[indexes]\ndefault = { folder = "wheels" }\n[lock]\ncooldown = "3d"')
    world.model(CPU)
    world.lock(UV_DEFAULT_INDEX="http://127.0.0.1:9/simple")
    assert world.packages() == [("fast", "1.0", "default"), ("shared", "1.0", "default")]


def test_a_cooldown_without_dates_is_an_error_with_a_hint(world):
    world.default.release("fast", "1.0")
    world.workspace('[lock]\ncooldown = "3d"')
    world.model(CPU)
    status, result = world.mpbuild("lock")
    assert status == 2
    assert "missing an upload date" in result["findings"][0]["message"]
    world.workspace('[indexes]\ndefault = { dated = false }\n[lock]\ncooldown = "3d"')
    world.lock()


def test_a_requirement_without_a_solution_is_reported_at_its_line(world):
    world.default.release("fast", "1.0", requires=("shared>=2",))
    world.default.release("fast_gpu", "1.0")
    world.default.release("shared", "1.0", "2.0")
    world.model(
        CPU,
        '[accelerators.cuda]\ndependencies = ["fast-gpu>=7"]',
        more='constraints = ["shared<3"]\n',
    )
    status, result = world.mpbuild("lock")
    assert status == 2
    (finding,) = result["findings"]
    assert finding["where"] == world.line("fast-gpu>=7")
    assert finding["message"].startswith("accelerators.cuda: no versions satisfy the requirements")
    assert "only fast-gpu==1.0 is available" in finding["message"]
    assert "(accelerators.cuda) requires fast-gpu>=7" in finding["message"]
    assert "requires fast\n" not in finding["message"] + "\n"


def test_a_further_environment_without_a_solution_is_named(world):
    world.default.release("fast", "1.0")
    world.model(CPU, '[environments.train]\ndependencies = ["nowhere"]')
    status, result = world.mpbuild("lock")
    assert (status, result["findings"][0]["where"]) == (2, world.line("nowhere"))
    assert result["findings"][0]["message"].startswith("environments.train: ")


def test_a_package_without_wheels_is_refused_by_name_and_line(world):
    folder = world.default.folder / "sourced"
    folder.mkdir()
    (folder / "index.html").write_text(
        f'<a href="sourced-1.0.tar.gz#sha256={"0" * 64}">sourced-1.0.tar.gz</a>'
    )
    world.model('[accelerators.cpu]\ndependencies = ["sourced"]')
    status, result = world.mpbuild("lock")
    assert status == 2
    assert result["findings"][0]["where"] == world.line("sourced")
    assert "sourced has no wheel" in result["findings"][0]["message"]
    assert "build = true" in result["findings"][0]["hint"]


def test_nvidia_in_the_cpu_lock_is_refused(world):
    world.default.release("fast", "1.0", requires=("nvidia-cublas",))
    world.default.release("nvidia_cublas", "13.0")
    world.model(CPU)
    status, result = world.mpbuild("lock")
    assert (status, world.file().exists()) == (2, False)
    assert "include nvidia-cublas 13.0" in result["findings"][0]["message"]


@pytest.mark.parametrize("written", [0, 1, 3, 5])
def test_a_lock_killed_while_it_writes_leaves_whole_locks_and_the_next_goes_on(three, written):
    three.lock("--upgrade")
    whole = three.locks()
    assert len(whole) == 6
    for path in whole:
        path.unlink()
    with three.start("-c", KILLED, written, program="python") as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = three.locks()
    assert len(left) == written
    assert left.items() <= whole.items()
    three.lock()
    assert three.locks() == whole


def test_a_lock_killed_while_it_asks_an_index_changes_nothing(three):
    before = three.locks()
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(60)
        url = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        with three.start("lock", "--upgrade", UV_DEFAULT_INDEX=url) as process:
            try:
                connection, _ = index.accept()
                connection.close()
            finally:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert three.locks() == before
    assert [lock["changed"] for lock in three.lock()["locks"]] == [[]] * 6


def test_two_locks_at_once_write_the_same(three):
    both = [three.start("lock", "--upgrade") for _ in range(2)]
    for process in both:
        process.communicate()
    assert [process.returncode for process in both] == [0, 0]
    assert three.mpbuild("lock", "--check")[0] == 0
    assert not list(three.root.glob("lockfiles/a/.*"))


def test_a_lock_that_a_merge_broke_is_refused_with_the_way_out(three):
    text = three.file().read_text()
    three.file().write_text(text.replace("[[packages]]", "<<<<<<< ours\n[[packages]]", 1))
    status, result = three.mpbuild("lock")
    assert status == 2
    assert result["findings"][0]["code"] == "lock-malformed"
    assert "remove it and run `mpbuild lock`" in result["findings"][0]["hint"]
    three.file().unlink()
    three.lock()
    assert three.versions() == {"fast": "2.0", "shared": "1.0"}  # the other locks still count


def test_what_a_killed_lock_left_is_removed_once_nobody_can_be_writing_it(three):
    old, fresh = (three.file().with_name(f".new-{name}") for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_text("half a lock")
    os.utime(old, (0, 0))
    three.lock("--upgrade")
    assert (old.exists(), fresh.exists()) == (False, True)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_what_is_no_file_is_no_lock_and_nobody_waits_for_it(three, make):
    three.file().unlink()
    make(three.file())
    for words in (("lock", "--check"), ("lock",)):
        status, result = three.mpbuild(*words)
        assert status == 2
        assert result["findings"][0]["code"] == "lock-malformed"
        assert result["findings"][0]["where"] == "lockfiles/a/pylock.cpu.toml"
