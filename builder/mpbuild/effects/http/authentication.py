"""Adds logins to requests: Basic authentication (RFC 7617) from the URL or from ~/.netrc."""

import netrc
from collections.abc import Mapping
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import msgspec
import urllib3

from mpbuild.effects.http.transport import Request, Response, Transport
from mpbuild.effects.http.urls import split_login


class BasicAuthentication:
    """Adds the login in the URL, else the host's in the file that NETRC names, else ~/.netrc.

    The login is removed from the URL. A request that has an Authorization header keeps it.
    """

    def __init__(self, inner: Transport, environ: Mapping[str, str]) -> None:
        self._inner = inner
        self._file = environ.get("NETRC") or f"{environ.get('HOME', '')}/.netrc"

    def send(self, request: Request) -> AbstractContextManager[Response]:
        """Sends a request with the login, if there is one."""
        try:
            url, login = split_login(request.url)
            login = login or self._netrc(urlsplit(url).hostname or "")
        except ValueError:
            return self._inner.send(request)  # It refuses the malformed URL.
        request = msgspec.structs.replace(request, url=url)
        if login and "Authorization" not in request.headers:
            request = request.with_headers({"Authorization": basic(login)})
        return self._inner.send(request)

    def _netrc(self, host: str) -> str:
        try:
            entry = netrc.netrc(self._file).hosts.get(host)
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            return ""
        return f"{entry[0]}:{entry[2]}" if entry else ""


def basic(login: str) -> str:
    """Returns the Authorization header for ``user:password``."""
    return urllib3.make_headers(basic_auth=login)["authorization"]
