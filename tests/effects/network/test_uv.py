"""A real uv against a real index on 127.0.0.1: what it is told, and what its answers mean."""

import hashlib

import msgspec
import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.indexes import PythonIndex
from mpbuild.effects.python.uv import Uv, WheelPlatform
from tests.making.wheels import write_wheel

BOOKWORM = WheelPlatform("3.11", (2, 36))


class WheelIndex:
    """A simple repository (PEP 503) of empty wheels on a site, which may ask for a login."""

    def __init__(self, site) -> None:
        self.site = site
        self.index = PythonIndex(url=f"{site.url}/simple")
        self.links: dict[str, list[str]] = {}

    def add(self, filename: str, *metadata: str, attributes: str = "") -> bytes:
        data = write_wheel(filename, {}, *metadata)
        self.site.files[f"/files/{filename}"] = data
        place = f"/files/{filename}#sha256={hashlib.sha256(data).hexdigest()}"
        self.link(filename.partition("-")[0], f'<a href="{place}"{attributes}>{filename}</a>')
        return data

    def link(self, name: str, link: str) -> None:
        self.links.setdefault(name, []).append(link)
        self.site.files[f"/simple/{name}/"] = "<br>".join(self.links[name]).encode()


@pytest.fixture
def wheels(site):
    return WheelIndex(site)


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_HTTP_RETRIES": "0"}


@pytest.fixture
def uv(environ):
    return Uv.find(environ)


def resolved(packages) -> dict[str, str]:
    return {package.name: package.version for package in packages}


def test_the_version_names_the_resolver(uv):
    name, version = uv.version.split(" ")
    assert name == "uv"
    assert version[0].isdigit()


def test_requirements_become_packages_with_every_wheel_that_fits(uv, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: beta>=1")
    native = wheels.add("beta-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    pure = wheels.add("beta-1.0-py3-none-any.whl")
    wheels.add("beta-1.0-cp311-cp311-manylinux_2_39_x86_64.whl")
    wheels.add("beta-1.0-cp312-cp312-manylinux_2_28_x86_64.whl")
    wheels.add("beta-1.0-cp311-cp311-win_amd64.whl")
    alpha, beta = uv.compile(["alpha"], BOOKWORM, IndexView.of(wheels.index))
    assert (alpha.name, alpha.version) == ("alpha", "1.0")
    assert {(w.filename, w.sha256) for w in beta.wheels} == {
        ("beta-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", Digest.of(native)),
        ("beta-1.0-py3-none-any.whl", Digest.of(pure)),
    }


def test_markers_are_those_of_the_target_not_of_this_process(uv, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: beta; python_version == '3.13'")
    wheels.add("beta-1.0-py3-none-any.whl")
    newer = WheelPlatform("3.13", (2, 41))
    assert resolved(uv.compile(["alpha"], BOOKWORM, IndexView.of(wheels.index))) == {"alpha": "1.0"}
    assert resolved(uv.compile(["alpha"], newer, IndexView.of(wheels.index))) == {
        "alpha": "1.0",
        "beta": "1.0",
    }


def test_constraints_bound_and_preferences_keep(uv, wheels):
    for version in ("1.0", "1.1", "2.0"):
        wheels.add(f"beta-{version}-py3-none-any.whl")

    def version(**settings: object) -> str:
        return resolved(uv.compile(["beta"], BOOKWORM, IndexView.of(wheels.index), **settings))[
            "beta"
        ]

    assert version() == "2.0"
    assert version(constraints=["beta<2"]) == "1.1"
    assert version(preferences=[("beta", "1.0")]) == "1.0"
    assert version(preferences=[("beta", "1.0")], constraints=["beta>1"]) == "2.0"


@pytest.mark.parametrize(
    ("requirement", "said"),
    [("alpha[nope]", "does not have an extra named `nope`"), ("beta==1.0", "yanked")],
)
def test_a_warning_is_an_error(uv, wheels, requirement, said):
    wheels.add("alpha-1.0-py3-none-any.whl")
    wheels.add("beta-1.0-py3-none-any.whl", attributes=' data-yanked="broken"')
    with pytest.raises(InputError) as caught:
        uv.compile([requirement], BOOKWORM, IndexView.of(wheels.index))
    assert caught.value.findings[0].code == "resolver-warning"
    assert said in str(caught.value)


def test_a_missing_solution_is_reported_in_uvs_words(uv, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl")
    with pytest.raises(InputError) as caught:
        uv.compile(["alpha>1"], BOOKWORM, IndexView.of(wheels.index))
    assert caught.value.findings[0].code == "spec-invalid"
    assert "only alpha==1.0 is available" in str(caught.value)


def test_a_package_without_wheels_is_named(uv, wheels):
    wheels.link(
        "alpha", f'<a href="/files/alpha-1.0.tar.gz#sha256={"0" * 64}">alpha-1.0.tar.gz</a>'
    )
    with pytest.raises(
        InputError, match="alpha has no wheel for this Python and platform"
    ) as caught:
        uv.compile(["alpha"], BOOKWORM, IndexView.of(wheels.index))
    assert "only wheels are installed" in caught.value.findings[0].hint


def test_files_without_dates_cannot_be_held_back(uv, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl")
    view = msgspec.structs.replace(
        IndexView.of(wheels.index), released_before="2026-01-01T00:00:00Z"
    )
    with pytest.raises(InputError):
        uv.compile(["alpha"], BOOKWORM, view)


def test_an_index_that_is_not_there_is_a_failed_fetch(uv):
    with pytest.raises(EnvironmentFailureError) as caught:
        uv.compile(
            ["alpha"],
            BOOKWORM,
            IndexView.of(PythonIndex(url="http://user:secret@127.0.0.1:9/simple")),
        )
    assert caught.value.findings[0].code == "fetch-failed"
    assert "http://127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_index_that_wants_a_login_is_a_failed_fetch_not_a_missing_package(uv, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl")
    wheels.site.login = "Basic something"
    with pytest.raises(EnvironmentFailureError) as caught:
        uv.compile(["alpha"], BOOKWORM, IndexView.of(wheels.index))
    assert caught.value.findings[0].code == "fetch-failed"
    assert "401" in str(caught.value)


def test_settings_in_the_environment_change_nothing(environ, wheels, tmp_path):
    for version in ("1.0", "2.0"):
        wheels.add(f"beta-{version}-py3-none-any.whl")
    (tmp_path / "constraints.txt").write_text("beta<2")
    (tmp_path / ".config/uv").mkdir(parents=True)
    (tmp_path / ".config/uv/uv.toml").write_text('resolution = "lowest"\n')
    hostile = {
        "UV_CONSTRAINT": str(tmp_path / "constraints.txt"),
        "UV_RESOLUTION": "lowest",
        "UV_INDEX": "http://127.0.0.1:9/simple",
        "UV_EXCLUDE_NEWER": "2001-01-01",
        "UV_OFFLINE": "1",
    }
    packages = Uv.find(environ | hostile).compile(["beta"], BOOKWORM, IndexView.of(wheels.index))
    assert resolved(packages) == {"beta": "2.0"}


def test_exact_wheels_are_located_with_the_login_of_their_host(uv, wheels):
    data = wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: never")
    wheels.add("alpha-2.0-py3-none-any.whl")
    index = PythonIndex(url=f"http://user:secret@{wheels.site.host}/simple")
    places = uv.locate([("alpha", "1.0")], "3.11", index)
    address = f"http://user:secret@{wheels.site.host}/files/alpha-1.0-py3-none-any.whl"
    assert places == {Digest.of(data): address}


def test_a_yanked_release_that_is_locked_can_still_be_located(uv, wheels):
    data = wheels.add("alpha-1.0-py3-none-any.whl", attributes=' data-yanked="broken"')
    assert list(uv.locate([("alpha", "1.0")], "3.11", wheels.index)) == [Digest.of(data)]


def test_a_release_that_is_gone_is_a_failed_fetch(uv, wheels):
    wheels.add("alpha-2.0-py3-none-any.whl")
    with pytest.raises(EnvironmentFailureError, match="locked wheels") as caught:
        uv.locate([("alpha", "1.0")], "3.11", wheels.index)
    assert caught.value.findings[0].code == "fetch-failed"


def test_nothing_to_locate_asks_nobody(uv, wheels):
    assert uv.locate([], "3.11", wheels.index) == {}
    assert not wheels.site.seen


def test_a_binary_that_does_not_start_is_an_environment_failure(environ, wheels):
    with pytest.raises(EnvironmentFailureError, match="cannot start uv"):
        Uv("/nonexistent/uv", environ).compile(["alpha"], BOOKWORM, IndexView.of(wheels.index))


@pytest.mark.network
def test_the_index_of_this_machines_user_resolves_numpy():
    import os

    from mpbuild.effects.python.indexes import find_index

    try:
        packages = Uv.find(os.environ).compile(
            ["numpy>=2"], BOOKWORM, IndexView.of(find_index(os.environ))
        )
    except EnvironmentFailureError as error:
        pytest.skip(f"no package index can be reached: {error}")
    assert list(resolved(packages)) == ["numpy"]
    assert any("x86_64" in wheel.filename for wheel in packages[0].wheels)
