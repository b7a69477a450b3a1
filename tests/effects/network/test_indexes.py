"""Which index is meant: the workspace's, then what uv and pip are set to."""

import pytest

from mpbuild.base.errors import InputError
from mpbuild.effects.python.indexes import PythonIndex, find_index

URL = "https://index.example/simple"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def find(tmp_path):
    def find(url="", **environ: str) -> PythonIndex:
        home = {"HOME": str(tmp_path / "home")}
        return find_index(home | environ, url=url, system=tmp_path / "etc")

    return find


def test_nothing_set_leaves_it_to_uv(find):
    assert find() == PythonIndex("default", "")


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_a_variable_names_it(find, variable):
    assert find(**{variable: URL}).url == URL


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("home/.config/uv/uv.toml", f'index-url = "{URL}"'),
        ("home/.config/uv/uv.toml", f'[pip]\nindex-url = "{URL}"'),
        ("home/.config/uv/uv.toml", f'index = [{{url = "a"}}, {{url = "{URL}", default = true}}]'),
        ("etc/uv/uv.toml", f'[[index]]\nname = "own"\nurl = "{URL}"\ndefault = true'),
        ("home/.config/pip/pip.conf", f"[global]\nindex-url = {URL}"),
        ("home/.pip/pip.conf", f"[global]\nindex-url={URL}"),
        ("etc/pip.conf", f"[install]\nindex-url = {URL}"),
    ],
)  # fmt: skip
def test_a_settings_file_names_it(find, tmp_path, file, text):
    write(tmp_path / file, text)
    assert find().url == URL


def test_the_workspace_goes_first_then_variables_then_uv_then_pip(find, tmp_path):
    write(tmp_path / "etc/pip.conf", "[global]\nindex-url = https://pip.example")
    assert find().url == "https://pip.example"
    write(tmp_path / "etc/uv/uv.toml", 'index-url = "https://uv.example"')
    assert find().url == "https://uv.example"
    assert find(PIP_INDEX_URL="https://variable.example").url == "https://variable.example"
    assert find(url=URL, PIP_INDEX_URL="https://variable.example").url == URL


def test_a_file_may_be_named_by_a_variable(find, tmp_path):
    write(tmp_path / "own.toml", f'index-url = "{URL}"')
    write(tmp_path / "own.conf", f"[global]\nindex-url = {URL}")
    assert find(UV_CONFIG_FILE=str(tmp_path / "own.toml")).url == URL
    assert find(PIP_CONFIG_FILE=str(tmp_path / "own.conf")).url == URL


def test_a_login_in_variables_counts(find):
    login = {"USERNAME": "user", "PASSWORD": "p@ss"}
    own = {f"UV_INDEX_MY_CORP_{key}": value for key, value in login.items()}
    assert find(UV_DEFAULT_INDEX=f"my-corp={URL}", **own).url == (
        "https://user:p%40ss@index.example/simple"
    )
    default = {f"UV_INDEX_DEFAULT_{key}": value for key, value in login.items()}
    assert find(url=URL, **default).url == "https://user:p%40ss@index.example/simple"


def test_a_folder_is_an_index_too(find, tmp_path):
    assert find(url=str(tmp_path)).url == tmp_path.as_uri()


def test_a_folder_that_is_not_there_is_no_empty_index(find, tmp_path):
    with pytest.raises(InputError, match="the folder of the index default does not exist"):
        find(UV_DEFAULT_INDEX=f"{tmp_path}/nowhere")


def test_pip_without_an_index_has_a_folder_and_uv_goes_before_it(find, tmp_path):
    write(tmp_path / "etc/pip.conf", f"[global]\nno-index = yes\nfind-links = {tmp_path}")
    assert find() == PythonIndex(url=tmp_path.as_uri(), flat=True)
    assert find(PIP_INDEX_URL=URL) == PythonIndex(url=tmp_path.as_uri(), flat=True)
    assert find(UV_DEFAULT_INDEX=URL).url == URL


@pytest.mark.parametrize("links", ["https://u:secret@wheels.example/", "/nowhere"])
def test_with_pips_no_index_no_index_is_used(find, links):
    with pytest.raises(InputError, match="configured to use only find-links") as caught:
        find(PIP_NO_INDEX="1", PIP_FIND_LINKS=links, PIP_INDEX_URL=URL)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("file", ["home/.config/uv/uv.toml", "home/.pip/pip.conf"])
@pytest.mark.parametrize("data", [b"= what", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(find, tmp_path, file, data):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_bytes(data)
    with pytest.raises(InputError) as caught:
        find()
    assert str(tmp_path / file) in caught.value.findings[0].where


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://index.example/files/a", "https://u:p@index.example/files/a"),
        ("https://files.example/a", "https://files.example/a"),
        ("http://index.example/a", "http://index.example/a"),
        ("https://index.example:8443/a", "https://index.example:8443/a"),
        ("https://index.example.evil.example/a", "https://index.example.evil.example/a"),
    ],
)
def test_the_login_goes_to_the_indexs_own_host_only(url, expected):
    assert PythonIndex(url="https://u:p@index.example/simple").with_login(url) == expected
