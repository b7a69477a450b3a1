"""Stacked transports: retries that wait as asked, logins, and every method that registries need."""

import base64
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.authentication import BasicAuthentication
from mpbuild.effects.http.file_transport import FileTransport
from mpbuild.effects.http.http_transport import HttpTransport
from mpbuild.effects.http.retry import RetryPolicy, RetryTransport
from mpbuild.effects.http.transport import Request, RequestBody
from mpbuild.effects.registry.authentication import RegistryAuthentication

DATA = bytes(range(256)) * 1024
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


class Received(NamedTuple):
    """A request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Echo:
    """A server that gives the scripted answers in turn, then 200 with the request's own body."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.script: list[tuple[int, dict[str, str]]] = []
        self.token = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size)
                headers = {name.title(): value for name, value in self.headers.items()}
                outer.received.append(Received(self.command, self.path, headers, body))
                if self.path.startswith("/token"):
                    return self._answer(200, {}, json.dumps({"token": "abc"}).encode())
                if outer.token and headers.get("Authorization") != outer.token:
                    realm = f'Bearer realm="{outer.url}/token",service="test"'
                    return self._answer(401, {"WWW-Authenticate": realm}, b"")
                status, extra = outer.script.pop(0) if outer.script else (200, {})
                return self._answer(status, extra, body)

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def _answer(self, status: int, extra: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def echo():
    server = Echo()
    with contextlib.closing(server):
        yield server


@pytest.fixture
def pauses():
    """The pauses of a policy, in seconds, none of which is waited for."""
    return []


@pytest.fixture
def policy(pauses):
    return RetryPolicy(backoff=1, sleep=pauses.append)


@pytest.fixture
def stack(policy):
    """The stack of a registry client, without logins."""
    connection = RetryTransport(FileTransport(HttpTransport({})), policy)
    return RegistryAuthentication(BasicAuthentication(connection, {}), {})


def body(data=DATA, step=10_000):
    return RequestBody(
        lambda: (data[at : at + step] for at in range(0, len(data), step)), len(data)
    )


def sent(stack, url, method="GET", content=None):
    """Status and bytes of the response."""
    with stack.send(Request(url=url, method=method, body=content)) as response:
        return response.status, b"".join(response.chunks)


# ---- retries


ABSURD = ("9" * 5000, "Fri, 31 Dec 99999 23:59:59 GMT", "soon", "-3", None)


@pytest.mark.parametrize(
    ("header", "waited"), [("7", 7), ("60", 60), ("0", 1), *((one, 1) for one in ABSURD)]
)
def test_a_pause_is_as_long_as_the_server_asks(stack, echo, pauses, header, waited):
    echo.script = [(429, {} if header is None else {"Retry-After": header})]
    assert sent(stack, f"{echo.url}/a") == (200, b"")
    assert pauses == [waited]


def test_a_pause_may_be_requested_as_a_date(stack, echo, pauses):
    echo.script = [(503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})]
    assert sent(stack, f"{echo.url}/a")[0] == 200
    assert pauses == [1]


def test_a_server_that_asks_for_an_hour_is_not_waited_for(stack, echo, pauses):
    echo.script = [(429, {"Retry-After": "3600"})]
    assert sent(stack, f"{echo.url}/a")[0] == 429
    assert (pauses, len(echo.received)) == ([], 1)


def test_attempts_have_an_end_and_growing_pauses(stack, echo, pauses):
    echo.script = [(503, {})] * 9
    assert sent(stack, f"{echo.url}/a")[0] == 503
    assert (pauses, len(echo.received)) == ([1, 2, 4], 4)


def test_an_upload_that_is_repeated_sends_the_same_content(stack, echo, pauses):
    echo.script = [(502, {})]
    assert sent(stack, f"{echo.url}/a", "PUT", body()) == (200, DATA)
    assert [one.body for one in echo.received] == [DATA, DATA]
    assert pauses == [1]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_is_not_idempotent_is_repeated_only_if_it_was_not_processed(
    stack, echo, pauses, method
):
    echo.script = [(503, {})]
    assert sent(stack, f"{echo.url}/a", method, body())[0] == 503
    assert pauses == []
    echo.script = [(429, {"Retry-After": "2"})]
    assert sent(stack, f"{echo.url}/a", method, body()) == (200, DATA)
    assert pauses == [2]


def test_a_failed_connection_is_an_error_that_names_the_url(stack):
    with pytest.raises(EnvironmentFailureError) as caught:
        sent(stack, "http://127.0.0.1:9/a")
    assert caught.value.findings[0].where == "http://127.0.0.1:9/a"


# ---- methods, bodies, logins


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"])
def test_every_method_of_the_distribution_specification_is_sent(stack, echo, method):
    content = body() if method in ("PUT", "POST", "PATCH") else None
    assert sent(stack, f"{echo.url}/v2/a/blobs/uploads/1", method, content) == (
        200,
        DATA if content else b"",
    )
    (received,) = echo.received
    assert (received.method, received.body) == (method, DATA if content else b"")
    if content:
        assert received.headers["Content-Length"] == str(len(DATA))
        assert "Transfer-Encoding" not in received.headers


@pytest.mark.parametrize(
    ("method", "actions"),
    [("GET", "pull"), ("HEAD", "pull"), ("PUT", "pull,push"), ("POST", "pull,push")],
)
def test_a_token_is_requested_for_what_the_method_does(stack, echo, method, actions):
    echo.token = "Bearer abc"
    content = body() if method in ("PUT", "POST") else None
    assert sent(stack, f"{echo.url}/v2/a/b/blobs/uploads/", method, content)[0] == 200
    (asked,) = [one for one in echo.received if one.path.startswith("/token")]
    scope = f"repository%3Aa%2Fb%3A{actions.replace(',', '%2C')}"
    assert asked.path == f"/token?scope={scope}&service=test"
    before = len(echo.received)
    assert sent(stack, f"{echo.url}/v2/a/b/blobs/uploads/", method, content)[0] == 200
    assert len(echo.received) == before + 1


def test_a_challenge_elsewhere_than_at_a_registry_is_not_answered(stack, echo):
    echo.token = "Bearer abc"
    assert sent(stack, f"{echo.url}/file")[0] == 401
    assert [one.path for one in echo.received] == ["/file"]


def test_a_body_follows_no_redirect(stack, echo):
    echo.script = [(307, {"Location": f"{echo.url}/elsewhere"})]
    assert sent(stack, f"{echo.url}/a", "PUT", body())[0] == 307
    assert [one.path for one in echo.received] == ["/a"]


def test_a_login_does_not_follow_a_redirect_to_another_host(stack, echo, make_site):
    other = make_site()
    other.files["/b"] = b"b"
    echo.script = [(302, {"Location": f"{other.url.replace('127.0.0.1', 'localhost')}/b"})]
    url = echo.url.replace("http://", "http://me:secret@")
    assert sent(stack, f"{url}/a") == (200, b"b")
    assert echo.received[0].headers["Authorization"] == BASIC
    assert "Authorization" not in other.asked("/b")[0]


def test_a_local_file_has_ranges_as_a_server_does(stack, tmp_path):
    (tmp_path / "f").write_bytes(DATA)
    request = Request(url=f"file://{tmp_path}/f", headers={"Range": "bytes=10-19"})
    with stack.send(request) as response:
        assert (response.status, b"".join(response.chunks)) == (206, DATA[10:20])
        assert response.headers["Content-Range"] == f"bytes 10-19/{len(DATA)}"
