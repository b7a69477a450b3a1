"""Connects to HTTP servers: TLS trust, proxies, redirects and timeouts.

Certificates and proxies come from the environment variables that curl, pip and uv read as well.
"""

import contextlib
from collections.abc import Iterator, Mapping
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.base.redaction import redacted
from mpbuild.effects.http.transport import Request, Response, TransientError
from mpbuild.effects.http.urls import shown, split_login

_CHUNK = 1 << 18
# Repeating requests is the concern of another transport. urllib3 drops logins on other hosts.
_REDIRECTS = urllib3.Retry(total=None, connect=0, read=0, redirect=5, status=0, other=0)
_TIMEOUT = urllib3.Timeout(connect=15, read=30)


class HttpTransport:
    """A pool of connections to http and https servers."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._proxies = _proxies(environ)
        self._authority = environ.get("SSL_CERT_FILE") or environ.get("REQUESTS_CA_BUNDLE")
        self._pools: dict[str, urllib3.PoolManager] = {}

    @contextlib.contextmanager
    def send(self, request: Request) -> Iterator[Response]:
        """Sends a request; follows up to five redirects, but none with a body."""
        with _translated_errors(request.url):
            response = self._send(request)
            try:
                yield Response(
                    status=response.status,
                    reason=response.reason or "",
                    url=urljoin(request.url, response.geturl() or ""),
                    redirected=response.retries is not None and bool(response.retries.history),
                    headers=response.headers,
                    chunks=response.stream(_CHUNK, decode_content=False),
                )
            finally:
                response.close()

    def _send(self, request: Request) -> urllib3.BaseHTTPResponse:
        try:
            pool = self._pool(request.url)
        except ValueError as error:
            # The message of a ValueError may hold the login.
            raise EnvironmentFailureError(
                "not a valid URL",
                where=shown(request.url),
                hint="URLs start with http://, https:// or file://",
            ) from error
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Length"] = str(request.body.size)
        try:
            return pool.request(
                request.method,
                request.url,
                headers=headers,
                body=None if request.body is None else iter(request.body.open()),
                redirect=request.redirects and request.body is None,
                preload_content=False,
                decode_content=False,
                retries=_REDIRECTS,
                timeout=_TIMEOUT,
            )
        except HTTPError:  # some are ValueErrors as well
            raise
        except ValueError as error:
            # urllib parses the Location header before urllib3 does.
            raise EnvironmentFailureError(
                "the server redirects to an invalid URL", where=shown(request.url)
            ) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
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


@contextlib.contextmanager
def _translated_errors(url: str) -> Iterator[None]:
    try:
        yield
    except HTTPError as error:
        raise _translated(error, shown(url)) from error


def _translated(error: HTTPError, where: str) -> EnvironmentFailureError:
    reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    message = redacted(str(reason)) or type(reason).__name__
    if isinstance(reason, SSLError):
        hint = "SSL_CERT_FILE can name the certificates to trust"
        return EnvironmentFailureError(message, where=where, hint=hint)
    if isinstance(reason, ConnectTimeoutError | ReadTimeoutError | ProtocolError):
        return TransientError(message, where=where)
    return EnvironmentFailureError(message, where=where)
