"""`mpbuild lock` pins weights, writes the pins into model.toml and reports them."""

import pytest

from mpbuild.base.digest import Digest

WEIGHTS = b"weights" * 100


@pytest.fixture
def server(tmp_path, serve):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "w.bin").write_bytes(WEIGHTS)
    with serve(folder) as url:
        yield folder, f"{url}/w.bin"


@pytest.fixture
def model(world, server):
    _, url = server
    world.model(
        "[accelerators.cpu]",
        f'[[core.weights]] # ours\nname = "w"\nversion = "1.0.0"\nurl = "{url}"',
    )
    return world


def test_weights_are_pinned_once_and_reported(model, server):
    _, url = server
    assert model.mpbuild("lock", "--check")[1]["findings"][0]["code"] == "lock-missing"
    (entry,) = model.lock()["weights"]
    digest = Digest.of(WEIGHTS).hex
    assert entry == {
        "label": "//a",
        "name": "w",
        "url": url,
        "sha256": digest,
        "size": len(WEIGHTS),
        "from": None,
    }
    text = (model.root / "a/model.toml").read_text()
    assert f'sha256 = "{digest}"' in text
    assert "[[core.weights]] # ours" in text
    assert model.lock()["weights"] == []
    assert model.mpbuild("lock", "--check")[0] == 0


def test_other_bytes_at_the_address_are_an_alarm_when_resolving(model, server):
    folder, _ = server
    model.lock()
    before = (model.root / "a/model.toml").read_bytes()
    (folder / "w.bin").write_bytes(WEIGHTS + b"more")
    status, result = model.mpbuild("lock", "--check=resolve")
    assert status == 1
    assert [finding["code"] for finding in result["findings"]] == ["content-mismatch"]
    assert result["findings"][0]["where"].startswith(model.line("url ="))
    assert (model.root / "a/model.toml").read_bytes() == before
