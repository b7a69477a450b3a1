"""Which package index the user means: uv's settings, then pip's, as their manuals document them."""

import configparser
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from mpbuild.base.errors import InputError
from mpbuild.effects.urls import split_login

_NAMED = re.compile(r"([A-Za-z0-9._-]+)=(.+)")


class Index(msgspec.Struct, frozen=True):
    """An index by the name that locks use, and its address with any login; empty is uv's own."""

    name: str = "default"
    url: str = ""

    def with_login(self, url: str) -> str:
        """``url`` with the index's login where it is on the index's own host."""
        parts, own = urlsplit(url), urlsplit(self.url)
        login, _, host = own.netloc.rpartition("@")
        if not login or (parts.scheme, parts.netloc) != (own.scheme, host):
            return url
        return parts._replace(netloc=f"{login}@{host}").geturl()


def find_index(
    environ: Mapping[str, str], *, name: str = "default", url: str = "", system: Path = Path("/etc")
) -> Index:
    """The index ``name``: at ``url`` where the workspace gives one, else where uv or pip looks.

    Asked in this order: UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL, the user's uv.toml, the
    machine's in ``system``, the pip.conf files alike. Logins in UV_INDEX_<NAME>_USERNAME and
    UV_INDEX_<NAME>_PASSWORD count. Raises InputError where a file can't be read.
    """
    if url:
        return Index(name, _with_login(name, _address(url), environ))
    for found in _candidates(environ, system):
        match = _NAMED.fullmatch(found)
        own, address = match.groups() if match else (name, found)
        return Index(name, _with_login(own, _address(address), environ))
    return Index(name)


def _candidates(environ: Mapping[str, str], system: Path) -> Iterator[str]:
    variables = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
    yield from (environ[variable] for variable in variables if environ.get(variable))
    home = Path(environ.get("HOME") or "/nonexistent")
    own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    for file in _files(environ.get("UV_CONFIG_FILE"), own / "uv/uv.toml", system / "uv/uv.toml"):
        yield from _in_uv_toml(file)
    user = (own / "pip/pip.conf", home / ".pip/pip.conf")
    for file in _files(environ.get("PIP_CONFIG_FILE"), *user, system / "pip.conf"):
        yield from _in_pip_conf(file)


def _files(named: str | None, *usual: Path) -> list[Path]:
    return [file for file in ([Path(named)] if named else usual) if file.is_file()]


def _in_uv_toml(file: Path) -> Iterator[str]:
    try:
        settings: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(file)) from error
    indexes = settings.get("index")
    for index in indexes if isinstance(indexes, list) else ():
        if isinstance(index, dict) and index.get("default") is True:
            name = index.get("name")
            yield f"{name}={index.get('url')}" if name else str(index.get("url"))
    pip = settings.get("pip")
    for table in (settings, pip if isinstance(pip, dict) else {}):
        if isinstance(table.get("index-url"), str):
            yield table["index-url"]


def _in_pip_conf(file: Path) -> Iterator[str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text("utf-8"), str(file))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise InputError(f"cannot be read: {error}", where=str(file)) from error
    for section in ("install", "global"):
        if parser.has_option(section, "index-url"):
            yield parser.get(section, "index-url")


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
