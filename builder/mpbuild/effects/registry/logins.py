"""Finds logins of OCI registries in the file that docker and podman keep them in.

It is the file that ``REGISTRY_AUTH_FILE`` names, else ``config.json`` in ``DOCKER_CONFIG``, else
in ``~/.docker`` (containers-auth.json(5)). Credential helpers are not run.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from mpbuild.base.errors import EnvironmentFailureError

T = TypeVar("T")

_HINT = "name a file that holds the login itself in REGISTRY_AUTH_FILE, or one with {} for none"


class _Entry(msgspec.Struct, frozen=True):
    auth: str = ""
    identitytoken: str = ""


class _Config(msgspec.Struct, frozen=True, rename="camel"):
    auths: dict[str, _Entry] = {}
    creds_store: str = ""
    cred_helpers: dict[str, str] = {}


def find_login(environ: Mapping[str, str], host: str, repository: str) -> str:
    """Returns ``user:password`` for a repository of the registry at ``host``; empty without one.

    A login for a namespace takes precedence over one for the host. Raises EnvironmentFailureError
    if the file cannot be read, or a credential helper has the login.
    """
    path = _file(environ)
    config = _read(path)
    place = f"{host}/{repository}"
    helper = _nearest(config.cred_helpers, place)
    entry = _nearest(config.auths, place)
    if helper is None and entry is None:
        return ""
    if helper or (config.creds_store and entry and not entry.auth):
        name = helper or config.creds_store
        said = f"the credential helper {name!r} has the login for {host}"
    elif entry and entry.auth:
        return _decode(entry.auth, host, path)
    elif entry and entry.identitytoken:
        said = f"the login for {host} is an identity token"
    else:
        return ""
    raise EnvironmentFailureError(f"{said}, which is not supported", where=str(path), hint=_HINT)


def _file(environ: Mapping[str, str]) -> Path:
    if named := environ.get("REGISTRY_AUTH_FILE"):
        return Path(named)
    folder = environ.get("DOCKER_CONFIG") or f"{environ.get('HOME', '')}/.docker"
    return Path(folder) / "config.json"


def _read(path: Path) -> _Config:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Config)
    except FileNotFoundError:
        return _Config()
    except OSError as error:
        raise EnvironmentFailureError(error.strerror or str(error), where=str(path)) from error
    except msgspec.MsgspecError as error:
        raise EnvironmentFailureError(
            f"not a file of registry logins: {error}", where=str(path), hint=_HINT
        ) from error


def _nearest(table: Mapping[str, T], place: str) -> T | None:
    """The value for ``place``, or for the closest of its parents; keys may be URLs."""
    named = {_name(key): value for key, value in table.items()}
    while place not in named and "/" in place:
        place = place.rpartition("/")[0]
    return named.get(place)


def _name(key: str) -> str:
    """Reduces ``https://registry.example/v2/`` to ``registry.example``."""
    place = key.partition("://")[2] if "://" in key else key
    return place.removesuffix("/").removesuffix("/v1").removesuffix("/v2")


def _decode(auth: str, host: str, path: Path) -> str:
    try:
        login = base64.b64decode(auth, validate=True).decode()
    except (binascii.Error, UnicodeError):
        login = ""
    if ":" not in login:
        raise EnvironmentFailureError(
            f"the login for {host} is not base64 of user:password", where=str(path)
        )
    return login
