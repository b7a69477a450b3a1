"""One HTTP client: whom it trusts, what it tells to whom, and what its failures mean.

RFC 9110 (range requests, redirects, basic authentication). Certificates, proxies and credentials
come from the environment variables that curl, pip and uv read too.
"""

import contextlib
import netrc
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.base.redaction import redacted
from mpbuild.effects.http.urls import shown, split_login

T = TypeVar("T")

_CHUNK = 1 << 18
_ATTEMPTS = 4
_REDIRECTS = urllib3.Retry(total=None, connect=0, read=0, redirect=5, status=0, other=0)
_TIMEOUT = urllib3.Timeout(connect=15, read=30)
_MOVED = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")


class MissingError(EnvironmentFailureError):
    """The server has no such file."""


class TransientError(EnvironmentFailureError):
    """Something that may work when tried again."""


class Body(NamedTuple):
    """A file, or the rest of one: the offset it starts at, the whole size if told, the bytes.

    ``version`` tells these bytes from what the address gave before or will give: a strong entity
    tag, else the time of the last change, empty where the server says neither.
    """

    start: int
    total: int | None
    chunks: Iterator[bytes]
    version: str = ""


class Document(NamedTuple):
    """A small file whole: where it was in the end, its media type, its bytes."""

    url: str
    media_type: str
    data: bytes


class Web:
    """A pool of connections; threads may share it.

    ``environ`` is a process environment; ``backoff`` the seconds before a second attempt, each
    further one waits twice as long.
    """

    def __init__(self, environ: Mapping[str, str], *, backoff: float = 0.5) -> None:
        self._environ = environ
        self._backoff = backoff
        self._proxies = _proxies(environ)
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._authority = environ.get("SSL_CERT_FILE") or environ.get("REQUESTS_CA_BUNDLE")

    @contextlib.contextmanager
    def open(self, url: str, start: int = 0, stop: int | None = None) -> Iterator[Body]:
        """The file at ``url`` (http, https or file), from byte ``start`` on if the server can.

        Look at the body's own ``start``. Raises MissingError, TransientError or another
        EnvironmentFailureError.
        """
        if url.startswith("file:"):
            with _open_file(url, start) as body:
                yield body
            return
        headers = {"Accept-Encoding": "identity"}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop}"
        with self._open(url, headers) as body:
            yield body

    def read(self, url: str, *, limit: int) -> bytes:
        """A small file whole.

        Raises EnvironmentFailureError where it has more than ``limit`` bytes.
        """
        return self.retry(lambda: self._read(url, limit))

    def document(self, url: str, *, accept: str, limit: int) -> Document:
        """A small file in the form among those of ``accept`` that the server chooses."""
        return self.retry(lambda: self._document(url, accept, limit))

    def confide(self, url: str, headers: Mapping[str, str], *, limit: int) -> bytes:
        """A small answer to a request whose ``headers`` are for this host only.

        A redirect is not followed, and nothing is tried again.
        """
        with self._open(url, headers, redirect=False) as body:
            return _whole(body, url, limit)

    def size(self, url: str) -> int:
        """How many bytes the file at ``url`` has."""
        return self.retry(lambda: self._size(url))

    def retry(self, attempt: Callable[[], T]) -> T:
        """What ``attempt`` gives, made again with growing pauses while it raises TransientError."""
        for i in range(_ATTEMPTS - 1):
            try:
                return attempt()
            except TransientError:
                time.sleep(self._backoff * 2**i)
        return attempt()

    @contextlib.contextmanager
    def _open(
        self, url: str, headers: Mapping[str, str], *, redirect: bool = True
    ) -> Iterator[Body]:
        with _failures(url):
            response = self._request(url, headers, redirect=redirect)
            try:
                yield _body(response, url)
            finally:
                response.close()

    def _request(
        self, url: str, headers: Mapping[str, str], *, redirect: bool = True
    ) -> urllib3.BaseHTTPResponse:
        try:
            address, authorization = self._credentials(url)
            pool = self._pool(address)
        except ValueError as error:
            # What Python says of it may hold the login.
            hint = "addresses start with http://, https:// or file://"
            raise EnvironmentFailureError(
                "this is no address", where=shown(url), hint=hint
            ) from error
        if authorization:
            headers = {"Authorization": authorization, **headers}
        return pool.request(
            "GET",
            address,
            headers=headers,
            redirect=redirect,
            preload_content=False,
            decode_content=False,
            retries=_REDIRECTS,
            timeout=_TIMEOUT,
        )

    def _read(self, url: str, limit: int) -> bytes:
        with self.open(url) as body:
            return _whole(body, url, limit)

    def _document(self, url: str, accept: str, limit: int) -> Document:
        with _failures(url):
            response = self._request(url, {"Accept-Encoding": "identity", "Accept": accept})
            try:
                data = _whole(_body(response, url), url, limit)
                media_type = response.headers.get("Content-Type", "")
                return Document(urljoin(url, response.geturl() or ""), media_type, data)
            finally:
                response.close()

    def _size(self, url: str) -> int:
        # A range of one byte, as not every server answers HEAD.
        with self.open(url, 0, 0) as body:
            if body.total is None:
                raise EnvironmentFailureError(
                    "the server doesn't tell the file's size", where=shown(url)
                )
            return body.total

    def _pool(self, address: str) -> urllib3.PoolManager:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https"):
            raise ValueError(parts.scheme)
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all", "")
        if _bypassed(parts.hostname or "", self._proxies.get("no", "")):
            proxy = ""
        if proxy not in self._pools:
            self._pools[proxy] = self._make_pool(proxy)
        return self._pools[proxy]

    def _make_pool(self, proxy: str) -> urllib3.PoolManager:
        if not proxy:
            return urllib3.PoolManager(maxsize=16, ca_certs=self._authority)
        address, login = split_login(proxy if "://" in proxy else f"http://{proxy}")
        headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
        return urllib3.ProxyManager(
            address, maxsize=16, ca_certs=self._authority, proxy_headers=headers
        )

    def _credentials(self, url: str) -> tuple[str, str]:
        address, login = split_login(url)
        login = login or self._netrc(urlsplit(address).hostname or "")
        if not login:
            return address, ""
        return address, urllib3.make_headers(basic_auth=login)["authorization"]

    def _netrc(self, host: str) -> str:
        file = self._environ.get("NETRC") or f"{self._environ.get('HOME', '')}/.netrc"
        try:
            found = netrc.netrc(file).hosts.get(host)
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            return ""
        return f"{found[0]}:{found[2]}" if found else ""


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for scheme in ("http", "https", "all", "no"):
        upper = environ.get(f"{scheme}_proxy".upper(), "")
        found[scheme] = environ.get(f"{scheme}_proxy") or upper
    return {scheme: value for scheme, value in found.items() if value}


def _bypassed(host: str, no_proxy: str) -> bool:
    domains = [domain.strip().lstrip(".").lower() for domain in no_proxy.split(",")]
    return any(
        domain == "*" or (domain and f".{host.lower()}".endswith(f".{domain}"))
        for domain in domains
    )


def _body(response: urllib3.BaseHTTPResponse, url: str) -> Body:
    if response.status not in (200, 206):
        _refuse(response, url)
    chunks = response.stream(_CHUNK, decode_content=False)
    if response.status == 200:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        return Body(0, total, chunks, _version(response))
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not match:
        raise EnvironmentFailureError(
            "the server sent a part of the file without saying which", where=shown(url)
        )
    return Body(int(match.group(1)), int(match.group(2)), chunks, _version(response))


def _version(response: urllib3.BaseHTTPResponse) -> str:
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _whole(body: Body, url: str, limit: int) -> bytes:
    found = bytearray()
    for chunk in body.chunks:
        found += chunk
        if len(found) > limit:
            raise EnvironmentFailureError(
                f"it has more than {limit} bytes", where=shown(url), code=Code.CONTENT_MISMATCH
            )
    return bytes(found)


def _refuse(response: urllib3.BaseHTTPResponse, url: str) -> NoReturn:
    said = f"the server answered {response.status} {response.reason or ''}".rstrip()
    if response.status in (404, 410):
        raise MissingError(said, where=shown(url))
    if response.status in _BUSY:
        raise TransientError(said, where=shown(url))
    if response.status == 416:
        raise EnvironmentFailureError(
            "it ends earlier", where=shown(url), code=Code.CONTENT_MISMATCH
        )
    hint = ""
    if response.status in (401, 403, 407):
        hint = "give credentials in the address's user:password@ or in ~/.netrc"
        if url.startswith("oci:"):
            hint = "log in with `docker login`, or name a file of logins in REGISTRY_AUTH_FILE"
    elif response.status in _MOVED:
        hint = "a login is for one host only and follows no redirect"
    raise EnvironmentFailureError(said, where=shown(url), hint=hint)


@contextlib.contextmanager
def _failures(url: str) -> Iterator[None]:
    try:
        yield
    except HTTPError as error:
        raise _meaning(error, shown(url)) from error


def _meaning(error: HTTPError, where: str) -> EnvironmentFailureError:
    reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    said = redacted(str(reason)) or type(reason).__name__
    if isinstance(reason, SSLError):
        hint = "SSL_CERT_FILE can name the certificates to trust"
        return EnvironmentFailureError(said, where=where, hint=hint)
    if isinstance(reason, ConnectTimeoutError | ReadTimeoutError | ProtocolError):
        return TransientError(said, where=where)
    return EnvironmentFailureError(said, where=where)


@contextlib.contextmanager
def _open_file(url: str, start: int) -> Iterator[Body]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(unquote(urlsplit(url).path)).open("rb"))
        except FileNotFoundError as error:
            raise MissingError("there is no such file", where=shown(url)) from error
        except OSError as error:
            raise EnvironmentFailureError(error.strerror or str(error), where=shown(url)) from error
        size = file.seek(0, 2)
        file.seek(min(start, size))
        yield Body(file.tell(), size, iter(lambda: file.read(_CHUNK), b""))
