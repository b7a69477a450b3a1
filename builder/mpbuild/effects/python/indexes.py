"""Finds the user's package indexes: in the settings of uv, then of pip, as their manuals define."""

import configparser
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from mpbuild.base.errors import InputError
from mpbuild.effects.http.urls import shown, split_login

_NAMED = re.compile(r"([A-Za-z0-9._-]+)=(.+)")
_OF_UV = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
_YES = ("1", "true", "yes", "on")


class PythonIndex(msgspec.Struct, frozen=True):
    """An index by its name in locks, and its URL with any login; empty for uv's own.

    ``flat``: a folder of wheels (a file URL), not a repository with a page for each project.
    """

    name: str = "default"
    url: str = ""
    flat: bool = False

    @property
    def folder(self) -> Path:
        """The path of a file URL."""
        return Path(unquote(urlsplit(self.url).path))

    def with_login(self, url: str) -> str:
        """Returns ``url`` with the index's login if it is on the index's own host."""
        parts, own = urlsplit(url), urlsplit(self.url)
        login, _, host = own.netloc.rpartition("@")
        if not login or (parts.scheme, parts.netloc) != (own.scheme, host):
            return url
        return parts._replace(netloc=f"{login}@{host}").geturl()


def folder_index(name: str, folder: Path, *, filled_later: bool = False) -> PythonIndex:
    """Returns the index ``name``, a folder of wheels.

    Raises InputError if the folder does not exist, unless it is ``filled_later``.
    """
    if not folder.is_dir() and not filled_later:
        raise InputError(
            f"the folder of the index {name} does not exist",
            where=str(folder),
            hint="create it, and put the wheels of the packages that the index owns into it",
        )
    return PythonIndex(name, folder.absolute().as_uri(), flat=True)


def find_index(
    environ: Mapping[str, str], *, name: str = "default", url: str = "", system: Path = Path("/etc")
) -> PythonIndex:
    """Returns the index ``name``: at ``url`` if given, else as configured for uv or pip.

    An index called ``name`` in UV_INDEX takes precedence over ``url``, as a mirror of it. For the
    default index the order is: UV_DEFAULT_INDEX, UV_INDEX_URL, pip's no-index with a folder in
    find-links, which is then the index, PIP_INDEX_URL, the user's uv.toml, the machine's in
    ``system``, the pip.conf files likewise. For others it is UV_INDEX, then the indexes of that
    name in uv.toml. Logins come from UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD. Raises
    InputError if a file cannot be read, a folder does not exist, or another index than the default
    has no URL.
    """
    mirror = _named(environ.get("UV_INDEX", "").split(), name)
    if mirror or url:
        return _index(name, name, mirror or url, environ)
    if name != "default":
        return _configured(environ, name, system)
    if not any(environ.get(variable) for variable in _OF_UV) and (
        folder := _only_folder(environ, system)
    ):
        return folder_index(name, folder)
    for found in _candidates(environ, system):
        match = _NAMED.fullmatch(found)
        own, address = match.groups() if match else (name, found)
        return _index(name, own, address, environ)
    return PythonIndex(name)


def _index(name: str, own: str, address: str, environ: Mapping[str, str]) -> PythonIndex:
    """``own`` is the name in the variables with the login; a folder with wheels is flat."""
    index = PythonIndex(name, _with_login(own, _address(address), environ))
    if index.url.startswith("file:") and not index.folder.is_dir():
        raise InputError(f"the folder of the index {name} does not exist", where=str(index.folder))
    if not index.url.startswith("file:") or not any(index.folder.glob("*.whl")):
        return index
    return PythonIndex(name, index.url, flat=True)


def _configured(environ: Mapping[str, str], name: str, system: Path) -> PythonIndex:
    for file in _uv_files(environ, system):
        indexes = [index for index in _tables(_settings(file)) if index.get("name") == name]
        for index in indexes:
            return _index(name, name, str(index.get("url")), environ)
    raise InputError(
        f"the index {name} has no URL",
        hint=f"set indexes.{name}.url in mpbuild.toml, or set UV_INDEX={name}=https://...",
    )


def _named(words: Iterable[str], name: str) -> str:
    """The URL that one of ``NAME=URL`` gives to ``name``."""
    matches = (_NAMED.fullmatch(word) for word in words)
    return next((match[2] for match in matches if match and match[1] == name), "")


def _only_folder(environ: Mapping[str, str], system: Path) -> Path | None:
    """The folder of wheels that pip uses in place of an index.

    Raises InputError if pip is configured so, but the folder does not exist.
    """
    if environ.get("PIP_NO_INDEX", "").lower() in _YES:
        links = environ.get("PIP_FIND_LINKS", "").split()
    else:
        settings = [_pip_settings(file) for file in _pip_files(environ, system)]
        links = next((one["find-links"].split() for one in settings if _no_index(one)), [])
    folders = [Path(unquote(link.removeprefix("file://"))).expanduser() for link in links]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if links and not found:
        raise InputError(
            "pip is configured to use only find-links, and none of them is a folder here",
            where=", ".join(map(shown, links)),
            hint="set indexes.default.folder or .url in mpbuild.toml, or set UV_DEFAULT_INDEX",
        )
    return found


def _no_index(settings: Mapping[str, str]) -> bool:
    return settings.get("no-index", "").lower() in _YES and "find-links" in settings


def _candidates(environ: Mapping[str, str], system: Path) -> Iterator[str]:
    variables = (*_OF_UV, "PIP_INDEX_URL")
    yield from (environ[variable] for variable in variables if environ.get(variable))
    for file in _uv_files(environ, system):
        yield from _in_uv_toml(_settings(file))
    for file in _pip_files(environ, system):
        if url := _pip_settings(file).get("index-url"):
            yield url


def _uv_files(environ: Mapping[str, str], system: Path) -> list[Path]:
    own = _own_settings(environ)
    return _files(environ.get("UV_CONFIG_FILE"), own / "uv/uv.toml", system / "uv/uv.toml")


def _pip_files(environ: Mapping[str, str], system: Path) -> list[Path]:
    user = (_own_settings(environ) / "pip/pip.conf", _home(environ) / ".pip/pip.conf")
    return _files(environ.get("PIP_CONFIG_FILE"), *user, system / "pip.conf")


def _own_settings(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or _home(environ) / ".config")


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or "/nonexistent")


def _files(named: str | None, *usual: Path) -> list[Path]:
    return [file for file in ([Path(named)] if named else usual) if file.is_file()]


def _settings(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(file)) from error


def _tables(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    indexes = settings.get("index")
    return [one for one in indexes if isinstance(one, dict)] if isinstance(indexes, list) else []


def _in_uv_toml(settings: Mapping[str, Any]) -> Iterator[str]:
    for index in _tables(settings):
        if index.get("default") is True:
            name = index.get("name")
            yield f"{name}={index.get('url')}" if name else str(index.get("url"))
    pip = settings.get("pip")
    for table in (settings, pip if isinstance(pip, dict) else {}):
        if isinstance(table.get("index-url"), str):
            yield table["index-url"]


def _pip_settings(file: Path) -> dict[str, str]:
    """Options of ``pip install``: its own section takes precedence over the global one."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text("utf-8"), str(file))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise InputError(f"cannot be read: {error}", where=str(file)) from error
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= parser.items(section)
    return found


def _address(text: str) -> str:
    text = text.strip()
    return text if "://" in text else Path(text).expanduser().absolute().as_uri()


def _with_login(name: str, url: str, environ: Mapping[str, str]) -> str:
    variable = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
    user = environ.get(f"{variable}_USERNAME", "")
    password = environ.get(f"{variable}_PASSWORD", "")
    if not (user or password):
        return url
    parts = urlsplit(split_login(url)[0])
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return parts._replace(netloc=f"{login}@{parts.netloc}").geturl()
