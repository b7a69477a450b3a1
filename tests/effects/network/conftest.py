"""A web server on 127.0.0.1 that serves bytes, breaks when told to, and remembers who asked."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mpbuild.effects.http.client import HttpClient, http_client
from mpbuild.effects.http.retry import RetryPolicy


class Site:
    """``files`` by path; ``faults`` by path, one used up by each request; ``seen`` requests.

    ``sent`` are the bytes that went out of each file.

    Pages, paths with a slash at the end, are HTML unless ``types`` says what they are.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.faults: dict[str, list[Callable[[BaseHTTPRequestHandler], None]]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.ranges = True
        self.versions: dict[str, dict[str, str]] = {}
        self.sent: dict[str, int] = {}
        self.login = ""
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def asked(self, path: str) -> list[dict[str, str]]:
        return [headers for seen, headers in self.seen if seen == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is none of the server's business."""


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.seen.append((self.path, {k.title(): v for k, v in self.headers.items()}))
            with contextlib.suppress(ConnectionError):
                self._answer()

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self) -> None:
            faults = site.faults.get(self.path)
            if site.login and self.headers.get("Authorization") != site.login:
                answer(self, 401, b"")
            elif faults:
                faults.pop(0)(self)
            elif self.path in site.files:
                self._send(site.files[self.path])
            else:
                answer(self, 404, b"no such file")

        def _send(self, data: bytes) -> None:
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            version = site.versions.get(self.path, {})
            if not match or not site.ranges:
                usual = "text/html" if self.path.endswith("/") else "application/octet-stream"
                page = {"Content-Type": site.types.get(self.path, usual)}
                ranges = {"Accept-Ranges": "bytes"} if site.ranges else {}
                self._count(len(data))
                return answer(self, 200, data, {**page, **ranges, **version})
            start, stop = int(match[1]), int(match[2] or len(data) - 1)
            if start >= len(data):
                return answer(self, 416, b"")
            said = {"Content-Range": f"bytes {start}-{stop}/{len(data)}"}
            self._count(stop + 1 - start)
            return answer(self, 206, data[start : stop + 1], {**said, **version})

        def _count(self, size: int) -> None:
            if self.command == "GET":
                site.sent[self.path] = site.sent.get(self.path, 0) + size

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def answer(
    handler: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str] | None = None
) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(data)


class Faults:
    """What can go wrong with one request."""

    @staticmethod
    def status(code: int) -> Callable[[BaseHTTPRequestHandler], None]:
        return lambda handler: answer(handler, code, b"")

    @staticmethod
    def redirect(url: str) -> Callable[[BaseHTTPRequestHandler], None]:
        return lambda handler: answer(handler, 302, b"", {"Location": url})

    @staticmethod
    def cut(data: bytes, after: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
        def fault(handler: BaseHTTPRequestHandler) -> None:
            answer(handler, 200, data[:after], {"Content-Length": str(len(data)), **headers})
            handler.close_connection = True

        return fault


@pytest.fixture
def make_site() -> Iterator[Callable[[], Site]]:
    with contextlib.ExitStack() as stack:

        def make() -> Site:
            site = Site()
            stack.callback(site.close)
            return site

        yield make


@pytest.fixture
def site(make_site: Callable[[], Site]) -> Site:
    return make_site()


@pytest.fixture
def faults() -> type[Faults]:
    return Faults


@pytest.fixture
def web() -> HttpClient:
    return http_client({}, RetryPolicy(backoff=0.001))
