"""What hostile or broken surroundings get out of ``mpbuild lock``: the reason, at its place."""

import json
import signal
import socket

import pytest

CPU = '[accelerators.cpu]\ndependencies = ["{0}"]'


def test_nobody_is_advised_to_look_for_a_package_in_every_index(world):
    """uv offers that, with the address of a folder that is gone by the time it is read."""
    world.index("torch-cpu").add("torch-1.0-py3-none-win_amd64.whl")
    world.default.add("torch-2.0-py3-none-any.whl")
    world.workspace("[indexes.torch-cpu]", 'packages = ["torch"]')
    world.model(CPU.format("torch"))
    status, result = world.mpbuild("lock")
    (finding,) = result["findings"]
    assert (status, finding["where"]) == (2, world.line('["torch"]'))
    assert "no wheels with a matching platform tag" in finding["message"]
    assert "index-strategy" not in finding["message"]
    assert "mpbuild-indexes-" not in finding["message"]


def test_a_cooldown_that_leaves_no_release_is_an_error_with_a_hint(world):
    world.default.add("numpy-1.0-py3-none-any.whl")
    world.workspace("[lock]", 'cooldown = "3d"')
    world.model(CPU.format("numpy"))
    status, result = world.mpbuild("lock")
    (finding,) = result["findings"]
    assert (status, finding["code"]) == (2, "spec-invalid")
    assert finding["hint"].endswith("set indexes.default.dated = false")


def test_an_interrupt_waits_for_no_index(world):
    """A page is requested four times, for half a minute each."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        url = f'url = "http://{host}:{port}/simple"'
        world.workspace("[indexes.acme]", url, 'packages = ["acme"]')
        world.model(CPU.format("acme"))
        with world.start("--format", "json", "lock") as process:
            asking, _ = server.accept()
            with asking:
                process.send_signal(signal.SIGINT)
                (finding,) = json.loads(process.communicate()[0])["findings"]
        assert (process.returncode, finding["code"]) == (130, "interrupted")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("words", [(), ("--check",), ("--check=resolve",), ("--check=cross",)])
def test_an_accelerator_that_no_target_has_is_no_success(world, words):
    world.default.add("numpy-1.0-py3-none-any.whl")
    world.model(CPU.format("numpy"))
    world.lock()
    status, result = world.mpbuild("lock", "--accelerator", "rocm", *words)
    (finding,) = result["findings"]
    assert (status, finding["message"]) == (2, "no accelerator rocm in //a")
    assert "cpu" in finding["hint"]


def test_a_target_that_cannot_be_locked_keeps_no_other_from_it(world):
    world.default.add("numpy-1.0-py3-none-any.whl")
    world.model(CPU.format("numpy"))
    spec = (world.root / "a/model.toml").read_text()
    for name, package in (("b", "nowhere"), ("c", "numpy")):
        (world.root / name).mkdir()
        text = spec.replace('"numpy"', f'"{package}"').replace('name = "tiny"', f'name = "{name}"')
        (world.root / name / "model.toml").write_text(text)
    status, result = world.mpbuild("lock")
    assert (status, result["ok"]) == (2, False)
    (finding,) = result["findings"]
    assert finding["where"].startswith("b/model.toml:")
    assert {lock["label"] for lock in result["locks"]} == {"//a", "//c"}
    written = {path.parent.name for path in world.root.glob("lockfiles/*/*.toml")}
    assert written == {"a", "c"}


@pytest.mark.parametrize("scheme", ["https://evil.example", "git+https://evil.example", "file://"])
def test_a_package_that_asks_for_an_address_is_named_and_may_be_overridden(world, scheme):
    address = f"{scheme}/numpy-9.0-py3-none-any.whl"
    world.default.add("needs_it-1.0-py3-none-any.whl", f"Requires-Dist: numpy @ {address}")
    world.default.add("numpy-1.0-py3-none-any.whl")
    world.model(CPU.format("needs-it"))
    status, result = world.mpbuild("lock")
    (finding,) = result["findings"]
    assert (status, finding["code"]) == (2, "spec-invalid")
    assert finding["where"] == world.line('["needs-it"]')
    assert "needs-it==1.0 requires numpy by URL" in finding["message"]
    assert "environment.overrides" in finding["hint"]
    override = 'overrides = [{ requirement = "numpy<2", reason = "an address" }]\n'
    world.model(CPU.format("needs-it"), more=override)
    world.lock()
    assert world.packages() == [("needs-it", "1.0", "default"), ("numpy", "1.0", "default")]
