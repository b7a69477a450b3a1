"""Who owns a package decides where it comes from, whatever else the indexes have."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.python.index_views import IndexOwner, IndexSources, lay_out
from mpbuild.effects.python.indexes import PythonIndex, folder_index
from mpbuild.effects.python.projects import Projects
from mpbuild.effects.python.uv import Uv, WheelPlatform

BOOKWORM = WheelPlatform("3.11", (2, 36))
JSON = "application/vnd.pypi.simple.v1+json"
CUTOFF = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def projects(web):
    return Projects(web)


@pytest.fixture
def default(make_index):
    return make_index("default")


@pytest.fixture
def torch(make_index):
    return make_index("torch")


@pytest.fixture
def view(tmp_path, projects):
    folders = iter(range(9))

    def view(default, *owners, before=None, dated=True):
        sources = IndexSources(default=default, owners=owners, dated=dated)
        return lay_out(sources, tmp_path / f"view{next(folders)}", projects, before)

    return view


@pytest.fixture
def resolve(tmp_path):
    environ = {"HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache")}

    def resolve(view, *requirements: str) -> dict[str, str]:
        found = Uv.find(environ).compile(requirements, BOOKWORM, view)
        return {p.name: f"{p.version} of {view.index_of(p.name)}" for p in found}

    return resolve


def test_an_owned_package_comes_from_its_owner_though_others_have_a_newer_one(
    default, torch, view, resolve
):
    default.add("model-1.0-py3-none-any.whl", "Requires-Dist: torch")
    default.add("torch-9.0-py3-none-any.whl")
    torch.add("torch-2.0-py3-none-any.whl", "Requires-Dist: nvidia-cublas")
    torch.add("nvidia_cublas-13.0-py3-none-any.whl")
    default.add("nvidia_cublas-99.0-py3-none-any.whl")
    owner = IndexOwner(index=torch.index, patterns=("torch", "nvidia-*"))
    assert resolve(view(default.index, owner), "model") == {
        "model": "1.0 of default",
        "nvidia-cublas": "13.0 of torch",
        "torch": "2.0 of torch",
    }


def test_an_owner_gives_nothing_but_what_it_owns(default, torch, view, resolve):
    default.add("numpy-1.0-py3-none-any.whl")
    torch.add("numpy-2.0-py3-none-any.whl")
    torch.add("torch-2.0-py3-none-any.whl", "Requires-Dist: numpy")
    owner = IndexOwner(index=torch.index, patterns=("torch",))
    assert resolve(view(default.index, owner), "torch")["numpy"] == "1.0 of default"


def test_what_its_owner_does_not_have_is_not_taken_from_elsewhere(default, torch, view, resolve):
    default.add("acme_secret-1.0-py3-none-any.whl")
    torch.add("torch-2.0-py3-none-any.whl")
    exact = view(default.index, IndexOwner(index=torch.index, patterns=("acme-secret",)))
    with pytest.raises(InputError, match="no versions of acme-secret"):
        resolve(exact, "acme-secret")
    pattern = view(default.index, IndexOwner(index=torch.index, patterns=("acme-*",)))
    with pytest.raises(InputError, match="the index torch owns acme-secret") as caught:
        resolve(pattern, "acme-secret")
    assert "publish it there" in caught.value.findings[0].hint


def test_the_closest_pattern_decides(default, torch, make_index, view, resolve):
    other = make_index("other")
    for index, version in ((default, 1), (torch, 2), (other, 3)):
        for name in ("nvidia_cublas", "nvidia_cudnn", "numpy"):
            index.add(f"{name}-{version}.0-py3-none-any.whl")
    owners = (
        IndexOwner(index=torch.index, patterns=("nvidia-*",)),
        IndexOwner(index=other.index, patterns=("nvidia-cudnn",)),
    )
    assert resolve(view(default.index, *owners), "nvidia-cublas", "nvidia-cudnn", "numpy") == {
        "numpy": "1.0 of default",
        "nvidia-cublas": "2.0 of torch",
        "nvidia-cudnn": "3.0 of other",
    }


def test_a_folder_of_wheels_needs_no_index(default, tmp_path, view, resolve):
    default.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: beta>=1")
    default.add("beta-1.0-py3-none-any.whl")
    folder = tmp_path / "wheels"
    folder.mkdir()
    for path in default.folder.glob("*/*.whl"):
        path.rename(folder / path.name)
    (folder / "notes.txt").write_text("no wheel")
    found = view(folder_index("default", folder))
    assert resolve(found, "alpha") == {"alpha": "1.0 of default", "beta": "1.0 of default"}
    with pytest.raises(InputError, match="gamma"):
        resolve(found, "gamma")


def test_a_folder_may_own_packages_and_is_never_too_young(default, tmp_path, view, resolve):
    folder = tmp_path / "wheels"
    default.add("ours-1.0-py3-none-any.whl").rename(
        folder.mkdir() or folder / "ours-1.0-py3-none-any.whl"
    )
    owner = IndexOwner(index=folder_index("built", folder), patterns=("ours",))
    found = view(default.index, owner, before=CUTOFF)
    assert resolve(found, "ours") == {"ours": "1.0 of built"}


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="the folder of the index built does not exist"):
        folder_index("built", tmp_path / "nowhere")


@pytest.fixture
def dated(site, default):
    """An index over HTTP, in JSON, whose releases of torch are of two months."""
    path = default.add("torch-1.0-py3-none-any.whl")
    younger = default.add("torch-2.0-py3-none-any.whl")
    files = []
    for wheel, month in ((path, 5), (younger, 7)):
        site.files[f"/files/{wheel.name}"] = wheel.read_bytes()
        files.append(
            {
                "filename": wheel.name,
                "url": f"../../files/{wheel.name}",
                "hashes": {"sha256": Digest.of(wheel.read_bytes()).hex},
                "size": wheel.stat().st_size,
                "upload-time": f"2026-0{month}-01T00:00:00.000000Z",
                "requires-python": ">=3.8",
            }
        )
    site.types["/simple/torch/"] = JSON
    site.files["/simple/torch/"] = json.dumps(
        {"meta": {"api-version": "1.1"}, "name": "torch", "files": files}
    ).encode()
    default.remove(path)
    default.remove(younger)
    return PythonIndex("dated", f"{site.url}/simple")


def test_an_owners_young_releases_do_not_count(default, dated, view, resolve):
    owner = IndexOwner(index=dated, patterns=("torch",))
    assert resolve(view(default.index, owner), "torch") == {"torch": "2.0 of dated"}
    before = view(default.index, owner, before=CUTOFF, dated=False)
    assert resolve(before, "torch") == {"torch": "1.0 of dated"}


def test_an_owner_without_dates_must_be_declared_undated(default, torch, view, resolve):
    torch.add("torch-1.0-py3-none-any.whl")
    with pytest.raises(InputError, match=r"no upload date for torch-1\.0") as caught:
        view(default.index, IndexOwner(index=torch.index, patterns=("torch",)), before=CUTOFF)
    assert caught.value.findings[0].hint == "set indexes.torch.dated = false"
    undated = IndexOwner(index=torch.index, patterns=("torch",), dated=False)
    found = view(default.index, undated, before=CUTOFF)
    assert found.released_before == "2026-06-01T00:00:00Z"
    assert resolve(found, "torch") == {"torch": "1.0 of torch"}


def test_the_cooldown_of_the_default_index_is_for_the_resolver(default, view):
    assert view(default.index, before=CUTOFF).released_before == "2026-06-01T00:00:00Z"
    assert view(default.index, before=CUTOFF, dated=False).released_before == ""
    assert view(default.index).released_before == ""


def test_a_login_goes_with_the_links_to_its_host_only(site, dated, projects):
    host = dated.url.removeprefix("http://")
    index = PythonIndex("dated", f"http://me:secret@{host}")
    page = site.files["/simple/torch/"].decode()
    site.files["/simple/torch/"] = page.replace(
        "../../files/torch-2.0", "https://elsewhere.example/torch-2.0"
    ).encode()
    here, elsewhere = (file.url for file in projects.files(index, "torch"))
    assert here.startswith("http://me:secret@127.0.0.1")
    assert elsewhere.startswith("https://elsewhere.example/")


def test_pages_are_for_their_owner_alone_and_yanked_files_stay_yanked(torch, default, view):
    torch.add("torch-1.0-py3-none-any.whl", attributes=' data-yanked="a &lt;bug&gt;"')
    found = view(default.index, IndexOwner(index=torch.index, patterns=("torch",)))
    page = Path(found.folder, "torch", "index.html").read_text()
    assert 'data-yanked="a &lt;bug&gt;"' in page


@pytest.mark.parametrize(
    ("media_type", "page"),
    [
        ("text/html", b"\xff\xfe"),
        (JSON, b"{"),
        (JSON, b"[]"),
        (JSON, b'{"files": 1}'),
        (JSON, b'{"files": [1]}'),
        (JSON, b'{"files": [{"filename": "a.whl"}]}'),
        (JSON, b'{"files": [{"filename": "a.whl", "url": "a", "hashes": {"sha256": "1"}}]}'),
        (JSON, b'{"files": [{"filename": "a.whl", "url": "a", "upload-time": "soon"}]}'),
        (JSON, b'{"files": [{"filename": "a.whl", "url": "a", "requires-python": 3}]}'),
        (JSON, b'{"files": [{"filename": "a.whl", "url": "a", "size": -1}]}'),
        (JSON, b'{"files": [{"filename": "a.whl", "url": "a", "size": "1"}]}'),
        (JSON, b'{"files": [{"filename": "a\\ud800.whl", "url": "a"}]}'),
        (JSON, b'{"files": [{"filename": "a", "url": "a", "upload-time": "0001-01-01T00+23:59"}]}'),
        (JSON, b"[" * 200_000),
        ("text/html", b'<meta name="pypi:repository-version" content="2.0">'),
        ("text/html", b'<a href="a.whl#sha256">a.whl</a>'),
        ("image/png", b""),
    ],
)
def test_what_is_no_page_of_an_index_is_refused_with_its_address(site, projects, media_type, page):
    site.types["/simple/torch/"] = media_type
    site.files["/simple/torch/"] = page
    with pytest.raises(EnvironmentFailureError) as caught:
        projects.files(PythonIndex("dated", f"{site.url}/simple"), "torch")
    assert caught.value.findings[0].where == f"{site.url}/simple/torch/"


@pytest.mark.parametrize("prefix", ["file:///etc/", "javascript:", "ftp://host.example/"])
def test_a_server_gives_no_file_of_this_machine(site, projects, prefix):
    site.files["/simple/torch/"] = (
        f'<a href="{prefix}torch-1.0-py3-none-any.whl">it</a>'
        '<a href="torch-2.0-py3-none-any.whl">it</a>'
    ).encode()
    (file,) = projects.files(PythonIndex("dated", f"{site.url}/simple"), "torch")
    assert file.url == f"{site.url}/simple/torch/torch-2.0-py3-none-any.whl"


def test_links_are_relative_to_the_base_of_the_page(site, projects):
    site.files["/simple/torch/"] = (
        b'<head><base href="/files/"></head><a href="torch-2.0-py3-none-any.whl">it</a>'
    )
    (file,) = projects.files(PythonIndex("dated", f"{site.url}/simple"), "torch")
    assert file.url == f"{site.url}/files/torch-2.0-py3-none-any.whl"


def test_a_later_form_of_pages_is_read_without_a_word(site, projects, recwarn):
    site.files["/simple/torch/"] = b'<meta name="pypi:repository-version" content="1.4">'
    assert projects.files(PythonIndex("dated", f"{site.url}/simple"), "torch") == ()
    assert not recwarn.list


def test_an_upload_time_without_a_zone_is_in_utc(site, projects, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    site.types["/simple/torch/"] = JSON
    file = {"filename": "torch-2.0.tar.gz", "url": "a", "upload-time": "2026-05-31T23:00:00"}
    site.files["/simple/torch/"] = json.dumps({"files": [file]}).encode()
    (found,) = projects.files(PythonIndex("dated", f"{site.url}/simple"), "torch")
    monkeypatch.undo()
    time.tzset()
    assert found.uploaded == datetime(2026, 5, 31, 23, tzinfo=UTC)


def test_what_is_no_name_is_none_of_an_indexs_projects(site, projects):
    site.types["/simple/"] = JSON
    names = ["a", "/etc/a", "a\0", "a\ud800", "a b", "a" * 300, "-", " c\n", "../b", None, 5]
    site.files["/simple/"] = json.dumps({"projects": [{"name": name} for name in names]}).encode()
    assert projects.names(PythonIndex("dated", f"{site.url}/simple")) == {"a", "c", "none", "5"}


def test_only_files_are_wheels_of_a_folder(tmp_path, projects):
    (tmp_path / "a-1.0-py3-none-any.whl").mkdir()
    (tmp_path / "b-1.0-py3-none-any.whl").symlink_to("nowhere")
    os.mkfifo(tmp_path / "c-1.0-py3-none-any.whl")
    (tmp_path / os.fsdecode(b"d-1.0-py3-none-\xff.whl")).touch()
    (tmp_path / "e-1.0-py3-none-any.whl").touch()
    index = folder_index("wheels", tmp_path)
    assert projects.names(index) == {"e"}
    assert [f.filename for f in projects.files(index, "e")] == ["e-1.0-py3-none-any.whl"]


def test_an_empty_folder_is_an_index_that_has_nothing(tmp_path, view):
    (tmp_path / "wheels").mkdir()
    assert list(view(folder_index("default", tmp_path / "wheels")).default.folder.iterdir()) == []


def test_a_pattern_needs_an_index_that_lists_its_projects(site, projects):
    index = PythonIndex("dated", f"{site.url}/simple")
    with pytest.raises(EnvironmentFailureError, match="doesn't list its projects") as caught:
        projects.names(index)
    assert "indexes.dated.packages" in caught.value.findings[0].hint
    site.files["/simple/"] = b'<a href="/simple/a/">A_b</a><a href="/simple/c/">c</a>'
    assert projects.names(index) == {"a-b", "c"}


def test_a_project_that_is_not_there_has_no_files_and_one_that_fails_is_an_error(
    site, projects, faults
):
    index = PythonIndex("dated", f"{site.url}/simple")
    assert projects.files(index, "absent") == ()
    site.faults["/simple/torch/"] = [faults.status(500)] * 4
    with pytest.raises(EnvironmentFailureError, match="500"):
        projects.files(index, "torch")
