"""pip against a real index on 127.0.0.1: how it reaches it, and how much of a wheel it reads."""

import hashlib
import os

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.python import interpreters, pip, pip_tools
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.indexes import PythonIndex
from mpbuild.effects.python.uv import Uv, WheelPlatform
from tests.making.wheels import write_wheel

BOOKWORM = WheelPlatform("3.11", (2, 36))
FILENAME = "alpha-1.0-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\nRequires-Python: >=3.8\n\n"


def big_wheel() -> bytes:
    """Four MiB that don't compress, and the metadata."""
    files = {"alpha/library.so": os.urandom(4 << 20)}
    return write_wheel(FILENAME, files, overrides={"METADATA": METADATA}, stored=files)


@pytest.fixture
def wheel(site) -> bytes:
    data = big_wheel()
    site.files[f"/files/{FILENAME}"] = data
    link(site, data)
    return data


def link(site, data: bytes, attributes: str = "") -> None:
    digits = hashlib.sha256(data).hexdigest()
    page = f'<a href="/files/{FILENAME}#sha256={digits}"{attributes}>{FILENAME}</a>'
    site.files["/simple/alpha/"] = page.encode()


@pytest.fixture
def resolve(site, tmp_path):
    """``resolve(url)``: what pip takes for alpha, with a cache that is its own."""

    def resolve(url=f"{site.url}/simple", **environ: str):
        settings = {"HOME": str(tmp_path), "PIP_RETRIES": "1", **environ}
        return pip.resolve(["alpha"], BOOKWORM, IndexView.of(PythonIndex(url=url)), settings)

    return resolve


def test_a_wheel_is_not_downloaded_where_parts_of_it_can_be_read(resolve, site, wheel):
    (found,) = resolve()
    assert (found.name, found.version, found.filename) == ("alpha", "1.0", FILENAME)
    assert found.sha256 == Digest.of(wheel)
    assert found.requires_python == ">=3.8"
    assert 0 < site.sent[f"/files/{FILENAME}"] < 100_000


def test_a_wheel_is_downloaded_whole_where_the_server_gives_no_parts(resolve, site, wheel):
    site.ranges = False
    (found,) = resolve()
    assert found.sha256 == Digest.of(wheel)
    assert site.sent[f"/files/{FILENAME}"] == len(wheel)


def test_a_wheel_is_not_requested_if_the_index_has_its_metadata(resolve, site, wheel):
    site.files[f"/files/{FILENAME}.metadata"] = METADATA
    digits = hashlib.sha256(METADATA).hexdigest()
    link(site, wheel, f' data-core-metadata="sha256={digits}"')
    (found,) = resolve()
    assert found.sha256 == Digest.of(wheel)
    assert not site.asked(f"/files/{FILENAME}")


def test_a_login_in_an_address_is_used_and_is_in_no_argument(resolve, site, wheel, tmp_path):
    site.login = "Basic dXNlcjpzZWNyZXQ="
    (found,) = resolve(f"http://user:secret@{site.host}/simple")
    assert found.version == "1.0"
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    assert [found.version for found in resolve()] == ["1.0"]
    view = IndexView.of(PythonIndex(url="http://user:secret@index.example/simple"))
    assert "user:secret" in pip.pip_environment({}, view)["PIP_INDEX_URL"]


def test_an_index_that_wants_a_login_is_a_failed_fetch_not_a_disagreement(resolve, site, wheel):
    site.login = "Basic something"
    with pytest.raises(EnvironmentFailureError, match="can't read an index") as caught:
        resolve(f"http://user:secret@{site.host}/simple")
    assert caught.value.findings[0].code == "fetch-failed"
    assert "secret" not in str(caught.value)


def test_an_index_that_breaks_is_a_failed_fetch(resolve, site, wheel, faults):
    site.faults["/simple/alpha/"] = [faults.status(503)] * 9
    with pytest.raises(EnvironmentFailureError, match="can't read an index"):
        resolve()


def test_a_package_that_no_index_has_is_a_disagreement(resolve, site):
    with pytest.raises(InputError, match="No matching distribution found for alpha") as caught:
        resolve()
    assert caught.value.findings[0].code == "lock-disagreement"


def test_an_index_url_of_the_user_is_not_queried(resolve, wheel):
    elsewhere = "http://127.0.0.1:9/simple"
    found = resolve(PIP_INDEX_URL=elsewhere, PIP_EXTRA_INDEX_URL=elsewhere, PIP_NO_INDEX="1")
    assert [package.version for package in found] == ["1.0"]


def test_pip_tools_reads_no_more_of_a_wheel_than_pip(site, wheel, tmp_path):
    uv = Uv.find(os.environ)
    if interpreters.find("3.11", uv.binary, os.environ) is None:
        pytest.skip("this machine has no Python 3.11, which pip-tools runs on for a lock of it")
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    view = IndexView.of(PythonIndex(url=f"{site.url}/simple"))
    assert pip_tools.resolve(["alpha"], "3.11", view, uv, environ) == {"alpha": "1.0"}
    assert 0 < site.sent[f"/files/{FILENAME}"] < 100_000
