"""Files from a registry: only the named ones, and no login or token to anybody else."""

import base64
import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.http.download import FileSink, download
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.http.retry import RetryPolicy
from mpbuild.effects.registry.artifacts import Registries, artifact_request
from mpbuild.effects.registry.authentication import is_own
from mpbuild.effects.registry.client import registry_client
from mpbuild.effects.registry.reference import RegistryReference

DATA = bytes(range(256)) * 4096
DIGEST = Digest.of(DATA)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CHALLENGE = (
    'Bearer realm="{url}/token?a=b",service="registry",scope="repository:weights/digits:pull"'
)
LOGIN = "me:sec:ret"
BASIC = "Basic " + base64.b64encode(LOGIN.encode()).decode()
HEX = "0" * 64


class Registry:
    """One repository of a registry, behind the challenge and the login that it is given."""

    repository = "weights/digits"

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {DIGEST: DATA}
        self.manifests: dict[str, bytes] = {}
        self.challenge = ""
        self.login = ""
        self.tokens: list[str] = []
        self.moved: dict[str, str] = {}
        self.cut = 0
        self.token_answer: Callable[[str], bytes] = lambda token: json.dumps(
            {"token": token}
        ).encode()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def reference(self, digest: str = DIGEST) -> str:
        return f"oci://{self.host}/{self.repository}@{digest}"

    def store(self, document: object) -> Digest:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = Digest.of(data)
        self.manifests[digest] = data
        return digest

    def asked(self, kind: str) -> list[dict[str, str]]:
        return [headers for path, headers in self.seen if kind in path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            registry.seen.append((self.path, {k.title(): v for k, v in self.headers.items()}))
            with contextlib.suppress(ConnectionError):
                self._answer()

        def _answer(self) -> None:
            path = urlsplit(self.path).path
            if path in registry.moved:
                self._send(307, b"", Location=registry.moved[path])
            elif path == "/token":
                self._give_token()
            elif registry.challenge and not self._is_known():
                challenge = registry.challenge.format(url=registry.url)
                self._send(401, b'{"errors": []}', **{"WWW-Authenticate": challenge})
            else:
                self._give(path)

        def _is_known(self) -> bool:
            said = self.headers.get("Authorization", "")
            if "Bearer" not in registry.challenge.title():
                return said == registry.login != ""
            return said in [f"Bearer {token}" for token in registry.tokens]

        def _give_token(self) -> None:
            if registry.login and self.headers.get("Authorization") != registry.login:
                self._send(401, b"")
                return
            registry.tokens.append(f"t{len(registry.tokens)}.A-b_c~d+e/f==")
            self._send(200, registry.token_answer(registry.tokens[-1]))

        def _give(self, path: str) -> None:
            match = re.fullmatch(r"/v2/weights/digits/(blobs|manifests)/([\w.:-]+)", path)
            data = getattr(registry, match[1]).get(match[2]) if match else None
            if data is None:
                self._send(404, b'{"errors": [{"code": "BLOB_UNKNOWN"}]}')
            elif found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                start, last = int(found[1]), int(found[2] or len(data) - 1)
                span = f"bytes {start}-{last}/{len(data)}"
                self._send(206, data[start : last + 1], **{"Content-Range": span})
            else:
                self._send(200, data)

        def _send(self, status: int, data: bytes, **headers: str) -> None:
            self.send_response(status)
            headers = {"Content-Length": str(len(data)), **headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if registry.cut and len(data) > registry.cut:
                data, registry.cut = data[: registry.cut], 0
                self.close_connection = True
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.close()


@pytest.fixture
def client() -> HttpClient:
    return registry_client({}, RetryPolicy(backoff=0.001))


@pytest.fixture
def logged_in(tmp_path) -> Callable[[object], HttpClient]:
    """Make a client whose user has the given file of logins."""

    def make(config: object) -> HttpClient:
        text = config if isinstance(config, str) else json.dumps(config)
        (tmp_path / "logins.json").write_text(text)
        return registry_client(
            {"REGISTRY_AUTH_FILE": str(tmp_path / "logins.json")}, RetryPolicy(backoff=0.001)
        )

    return make


@pytest.fixture
def get(tmp_path):
    """Fetch a request; what arrived."""

    def fetch(request: FileRequest, web: HttpClient) -> bytes:
        kept = tmp_path / "kept"
        depot = FileSink(
            tmp_path / "partial", lambda _: kept.exists(), lambda path, _: path.replace(kept)
        )
        download([request], into=depot, web=web)
        return kept.read_bytes()

    return fetch


def request_of(
    url: str, web: HttpClient, digest: Digest = DIGEST, size: int = len(DATA)
) -> FileRequest:
    return artifact_request("classifier", url, digest, size, web)


def image(*layers: tuple[str, int], **more: object) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/x",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": DIGEST, "size": 2},
        "layers": [{"mediaType": "x/y", "digest": digest, "size": size} for digest, size in layers],
        **more,
    }


def auths(host: str, login: str = LOGIN) -> dict[str, object]:
    return {"auths": {host: {"auth": base64.b64encode(login.encode()).decode()}}}


def failure(attempt: Callable[[], object], kind: type[Exception] = EnvironmentFailureError):
    with pytest.raises(kind) as caught:
        attempt()
    return caught.value


# ---- what an address names


@pytest.mark.parametrize(
    "url", ["https://files.example/a.onnx", "http://127.0.0.1:8000/a", "http://localhost/a"]
)
def test_a_file_of_a_web_server_is_requested_as_it_is(client, url):
    assert request_of(url, client) == FileRequest(
        name="classifier", urls=(url,), digest=DIGEST, size=len(DATA)
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example/a",
        "ftp://files.example/a",
        "file:///a",
        "https://[/a",
        "http://localhost.example/a",
        "",
    ],
)
def test_a_file_comes_from_https_only(client, url):
    error = failure(lambda: request_of(url, client), InputError)
    assert error.findings[0].code == "spec-invalid"


def test_a_reference_is_read_in_its_parts():
    url = f"oci://registry.example:5000/a/b.c__d--e/f@sha256:{HEX}"
    reference = RegistryReference.parse(url)
    assert reference == RegistryReference(
        "registry.example:5000", "a/b.c__d--e/f", Digest.from_hex(HEX)
    )
    assert (
        reference.manifest_url
        == f"https://registry.example:5000/v2/a/b.c__d--e/f/manifests/sha256:{HEX}"
    )
    assert RegistryReference.parse(f"oci://[::1]:5000/a@sha256:{HEX}").host == "[::1]:5000"


@pytest.mark.parametrize("digest", ["", f"@sha256:{HEX}"])
def test_a_tag_is_for_people_and_the_digest_counts(digest):
    url = f"oci://registry.example:5000/a/b:v1.0_rc-2{digest}"
    reference = RegistryReference.parse(url)
    assert (reference.tag, reference.repository, str(reference)) == ("v1.0_rc-2", "a/b", url)
    assert reference.tag_url == "https://registry.example:5000/v2/a/b/manifests/v1.0_rc-2"
    assert bool(reference.digest) == bool(digest)


def test_a_tag_alone_is_no_way_to_get_a_file(registry, client):
    address = f"oci://{registry.host}/{registry.repository}:v1"
    error = failure(lambda: request_of(address, client), InputError)
    assert "mpbuild lock" in error.findings[0].hint
    assert registry.seen == []


@pytest.mark.parametrize(
    "url",
    [
        f"oci://registry.example@sha256:{HEX}",
        "oci://registry.example/a",
        "oci://registry.example/a:",
        f"oci://registry.example/a:-x@sha256:{HEX}",
        f"oci://registry.example/a:{'t' * 129}@sha256:{HEX}",
        f"oci://registry.example/A@sha256:{HEX}",
        f"oci://registry.example/a/../b@sha256:{HEX}",
        f"oci://registry.example//a@sha256:{HEX}",
        f"oci://registry.example/a@sha256:{HEX[:-1]}",
        f"oci://registry.example/a@sha256:{'A' * 64}",
        f"oci://user:secret@registry.example/a@sha256:{HEX}",
        f"oci://registry.example\\.other.example/a@sha256:{HEX}",
        f"oci://registry.example/a@sha256:{HEX}\n",
        f"oci://registry.example/{'a' * 256}@sha256:{HEX}",
    ],
)
def test_what_is_no_reference_is_refused(url):
    error = failure(lambda: RegistryReference.parse(url), InputError)
    assert error.findings[0].code == "spec-invalid"
    assert "oci://host/repository@sha256:" in error.findings[0].hint


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_a_registry_on_this_machine_is_asked_over_http(site, host):
    web = registry_client({"http_proxy": site.url}, RetryPolicy(backoff=0.001))
    failure(lambda: web.read(RegistryReference.parse(f"oci://{host}/a:v1").tag_url, limit=9))
    assert site.seen[0][0].startswith(f"http://{host}/v2/a/")


@pytest.mark.parametrize("host", ["registry.example", "localhost.example", "10.0.0.1", "[::2]"])
def test_a_registry_elsewhere_is_asked_over_https(site, host):
    web = registry_client(
        {"http_proxy": site.url, "https_proxy": "http://127.0.0.1:1"}, RetryPolicy(backoff=0.001)
    )
    error = failure(
        lambda: web.read(RegistryReference.parse(f"oci://{host}/a:v1").tag_url, limit=9)
    )
    assert "proxy" in str(error).lower()
    assert site.seen == []


# ---- what a tag or a manifest leads to


@pytest.fixture
def find(registry, client):
    """``find(layers)``: the file that ``v1`` leads to where its manifest lists these."""

    def found(*layers, sha256=None, digest=None, name="classifier"):
        manifest = registry.store({"layers": list(layers)}) if layers else digest
        registry.manifests["v1"] = registry.manifests.get(manifest, b"")
        reference = RegistryReference(registry.host, registry.repository, digest, "v1")
        return Registries(client).find(name, reference, sha256), manifest

    return found


def layer(data=DATA, **more):
    return {"mediaType": "x/y", "digest": str(Digest.of(data)), "size": len(data), **more}


def called(path, key="org.cncf.model.filepath"):
    return {"annotations": {key: path}}


def test_a_tag_leads_to_the_one_layer_of_its_manifest(registry, find):
    found, manifest = find(layer())
    assert (found.sha256, found.size) == (DIGEST, len(DATA))
    assert str(found.reference) == f"oci://{registry.host}/weights/digits:v1@{manifest}"
    assert registry.asked("blobs") == []


def test_a_tag_is_asked_once_in_a_run(registry, client):
    registry.manifests["v1"] = json.dumps({"layers": [layer()]}).encode()
    registries = Registries(client)
    reference = RegistryReference(registry.host, registry.repository, None, "v1")
    first = registries.find("a", reference, None)
    registry.manifests["v1"] = json.dumps({"layers": [layer(b"moved")]}).encode()
    assert registries.find("b", reference, None) == first
    assert registries.current(reference) == first.reference.digest
    assert Registries(client).current(reference) != first.reference.digest


@pytest.mark.parametrize(
    "own",
    [
        called("weights/classifier"),
        called("classifier", "org.opencontainers.image.title"),
        {"mediaType": "application/vnd.cncf.model.weight.v1.raw"},
    ],
)
def test_of_several_layers_the_name_or_the_media_type_tells_the_weights(find, own):
    found, _ = find(layer(b"code", **called("model.py")), layer(**own), layer(b"readme"))
    assert found.sha256 == DIGEST


def test_the_sha256_tells_which_of_several_layers_it_is(find):
    found, _ = find(layer(b"a"), layer(b"b", **called("classifier")), sha256=Digest.of(b"a"))
    assert (found.sha256, found.size) == (Digest.of(b"a"), 1)


def test_a_sha256_that_no_layer_has_is_refused(find):
    error = failure(lambda: find(layer(b"a"), sha256=Digest.of(b"b")))
    assert error.findings[0].code == "content-mismatch"
    assert f"the manifest lists no layer {Digest.of(b'b')}" in str(error)


def test_several_layers_that_nothing_tells_apart_are_reported(find):
    error = failure(lambda: find(layer(b"a"), layer(b"b")), InputError)
    assert "the manifest lists 2 layers" in str(error)
    assert Digest.of(b"a") in error.findings[0].hint


def test_the_digest_counts_and_not_where_the_tag_has_moved(registry, find):
    manifest = registry.store({"layers": [layer()]})
    registry.manifests["v1"] = b"moved"
    found, _ = find(digest=manifest)
    assert (found.sha256, found.reference.digest) == (DIGEST, manifest)
    assert registry.asked("manifests/v1") == []


def test_a_digest_may_be_that_of_the_file_itself(find):
    found, _ = find(digest=DIGEST)
    assert (found.sha256, found.size, found.reference.digest) == (DIGEST, len(DATA), DIGEST)
    assert failure(lambda: find(digest=DIGEST, sha256=Digest.of(b""))).findings[0].code == (
        "content-mismatch"
    )


@pytest.mark.parametrize(
    "manifest",
    [
        {"manifests": []},
        {"layers": [{"digest": str(DIGEST), "size": -1}]},
        {"layers": [{"digest": str(DIGEST), "size": 2**53}]},
        {"layers": []},
        b"{",
    ],
)
def test_a_tag_that_leads_to_no_file_is_refused(registry, client, manifest):
    registry.manifests["v1"] = registry.manifests[registry.store(manifest)]
    reference = RegistryReference(registry.host, registry.repository, None, "v1")
    with pytest.raises((InputError, EnvironmentFailureError)) as caught:
        Registries(client).find("classifier", reference, None)
    assert caught.value.findings[0].where.startswith("classifier: http://")


def test_a_tag_that_is_not_there_is_reported(registry, client):
    reference = RegistryReference(registry.host, registry.repository, None, "v1")
    error = failure(lambda: Registries(client).find("classifier", reference, None))
    assert error.findings[0].where.endswith("/manifests/v1")


# ---- blobs and manifests


def test_a_blob_is_fetched_by_its_digest(registry, client, get):
    request = request_of(registry.reference(), client)
    assert registry.seen == []
    assert get(request, client) == DATA
    assert [path for path, _ in registry.seen] == [f"/v2/weights/digits/blobs/{DIGEST}"]


def test_a_blob_that_was_interrupted_is_continued_by_the_next_call(registry, client, get, tmp_path):
    registry.challenge, registry.login = CHALLENGE, ""
    partial = tmp_path / "partial"
    partial.mkdir()
    (partial / f"{DIGEST.hex}.part").write_bytes(DATA[:1000])
    assert get(request_of(registry.reference(), client), client) == DATA
    assert registry.asked("blobs")[-1]["Range"] == "bytes=1000-"


def test_a_layer_is_fetched_by_the_manifest_that_lists_it(registry, client, get):
    manifest = registry.store(image((Digest.from_hex(HEX), 5), (DIGEST, len(DATA))))
    request = request_of(registry.reference(manifest), client)
    assert MANIFEST in registry.asked("manifests")[0]["Accept"]
    assert get(request, client) == DATA


def test_a_cut_blob_is_continued_where_it_ends(registry, client, get):
    registry.cut = 300_000
    assert get(request_of(registry.reference(), client), client) == DATA
    assert [headers.get("Range") for headers in registry.asked("blobs")] == [None, "bytes=300000-"]


@pytest.mark.parametrize(
    "served", [DATA[:-1] + b"x", DATA + b"x", DATA[:-1], b""], ids=["other", "more", "less", "none"]
)
def test_a_blob_of_other_bytes_is_never_kept(registry, client, get, tmp_path, served):
    registry.blobs[DIGEST] = served
    error = failure(lambda: get(request_of(registry.reference(), client), client))
    assert error.findings[0].code == "content-mismatch"
    assert error.findings[0].where.startswith(f"classifier: http://{registry.host}/v2/")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (image(), "the manifest lists no layer"),
        (
            image((DIGEST, len(DATA) + 1)),
            f"the manifest lists no layer {DIGEST} of {len(DATA)} bytes",
        ),
        (image((Digest.from_hex(HEX), len(DATA))), "the manifest lists no layer"),
        ({"schemaVersion": 2, "manifests": []}, "not an image manifest: Object missing required"),
        (image(layers=[{"digest": DIGEST}]), "not an image manifest: Object missing required"),
        (image(layers=[None]), "not an image manifest: Expected `object`"),
        (b"[]", "not an image manifest: Expected `object`"),
        (b'{"layers": [], "layers": []}', "duplicate key 'layers'"),
        (b"\xff", "not an image manifest: not JSON"),
        (b"[" * 100_000, "not an image manifest: not JSON"),
        (b" " * ((4 << 20) + 1), "larger than 4194304 bytes"),
    ],
)
def test_a_manifest_that_does_not_list_the_file_is_refused(registry, client, document, said):
    url = registry.reference(registry.store(document))
    error = failure(lambda: request_of(url, client))
    assert error.findings[0].code == "content-mismatch"
    assert said in error.findings[0].message
    assert error.findings[0].where.startswith(f"classifier: http://{registry.host}/v2/weights/")


def test_a_manifest_of_another_digest_is_not_read(registry, client):
    named = registry.store(image((DIGEST, len(DATA))))
    registry.manifests[named] = json.dumps(image((DIGEST, len(DATA)), more=1)).encode()
    error = failure(lambda: request_of(registry.reference(named), client))
    assert error.findings[0].code == "content-mismatch"
    assert f"expected {named}" in error.findings[0].message


def test_a_manifest_that_is_not_there_is_a_failed_fetch(registry, client):
    error = failure(lambda: request_of(registry.reference(f"sha256:{HEX}"), client))
    assert error.findings[0].code == "fetch-failed"
    assert "404" in error.findings[0].message


# ---- logins and tokens


def test_a_token_is_got_once_and_goes_with_every_request(registry, client, get):
    registry.challenge = CHALLENGE
    registry.cut = 300_000
    manifest = registry.store(image((DIGEST, len(DATA))))
    assert get(request_of(registry.reference(manifest), client), client) == DATA
    ((token, headers),) = [entry for entry in registry.seen if "/token" in entry[0]]
    assert parse_qs(urlsplit(token).query) == {
        "a": ["b"],
        "service": ["registry"],
        "scope": ["repository:weights/digits:pull"],
    }
    assert "Authorization" not in headers
    said = [headers.get("Authorization") for headers in registry.asked("/v2/")]
    assert said == [None, *[f"Bearer {registry.tokens[0]}"] * 3]


def test_a_token_that_ran_out_is_renewed(registry, client, get):
    registry.challenge = CHALLENGE
    request = request_of(registry.reference(registry.store(image((DIGEST, len(DATA))))), client)
    registry.tokens = ["another"]
    assert get(request, client) == DATA


@pytest.mark.parametrize(
    "challenge",
    [
        'bearer realm="{url}/token"',
        "Bearer realm={url}/token",
        'Basic realm="a, b", Bearer service="x", realm="{url}/token"',
    ],
)
def test_a_challenge_may_be_written_in_many_ways(registry, client, get, challenge):
    registry.challenge = challenge
    assert get(request_of(registry.reference(), client), client) == DATA
    (token,) = [path for path, _ in registry.seen if "/token" in path]
    assert parse_qs(urlsplit(token).query)["scope"] == ["repository:weights/digits:pull"]


def test_the_answer_may_call_the_token_an_access_token(registry, client, get):
    registry.challenge = CHALLENGE
    registry.token_answer = lambda token: json.dumps({"access_token": token}).encode()
    assert get(request_of(registry.reference(), client), client) == DATA


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b"\xff", b'{"token": 1}', b'{"token": "a\\r\\nX: b"}', b" " * 100_000],
)
def test_an_answer_without_a_token_is_a_failed_fetch(registry, client, get, answer):
    registry.challenge = CHALLENGE
    registry.token_answer = lambda _: answer
    error = failure(lambda: get(request_of(registry.reference(), client), client))
    assert error.findings[0].where == f"classifier: {registry.url}/token"


@pytest.mark.parametrize("challenge", ['Basic realm="x"', CHALLENGE])
@pytest.mark.parametrize(
    "key", ["{}", "http://{}/v2/", "{}/v1/", "{}/weights", "{}/weights/digits"]
)
def test_the_login_of_the_user_is_given(registry, logged_in, get, challenge, key):
    registry.challenge, registry.login = challenge, BASIC
    config = auths(key.format(registry.host))
    config["auths"] |= auths("registry.example", "other:one")["auths"]
    config["auths"] |= auths(f"{registry.host}/weights/digits2", "other:two")["auths"]
    assert get(request_of(registry.reference(), web := logged_in(config)), web) == DATA


@pytest.mark.parametrize(
    ("variable", "file"), [("HOME", ".docker/config.json"), ("DOCKER_CONFIG", "config.json")]
)
def test_logins_are_found_where_docker_keeps_them(registry, get, tmp_path, variable, file):
    registry.challenge, registry.login = CHALLENGE, BASIC
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps(auths(registry.host)))
    web = registry_client({variable: str(tmp_path)})
    assert get(request_of(registry.reference(), web), web) == DATA


def test_an_open_registry_never_hears_a_login(registry, logged_in, get):
    web = logged_in(auths(registry.host))
    assert get(request_of(registry.reference(), web), web) == DATA
    assert "Authorization" not in registry.asked("blobs")[0]


@pytest.mark.parametrize("challenge", ['Basic realm="x"', CHALLENGE])
def test_without_a_login_the_message_says_how_to_give_one(registry, client, get, challenge):
    registry.challenge, registry.login = challenge, BASIC
    error = failure(lambda: get(request_of(registry.reference(), client), client))
    assert error.findings[0].code == "fetch-failed"
    assert "401" in error.findings[0].message


def test_a_refused_login_is_reported_with_what_to_do(registry, logged_in, get):
    registry.challenge, registry.login = 'Basic realm="x"', BASIC
    web = logged_in(auths(registry.host, "me:wrong"))
    error = failure(lambda: get(request_of(registry.reference(), web), web))
    assert "docker login" in error.findings[0].hint
    assert "wrong" not in str(error)
    assert len(registry.seen) == 2


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"credHelpers": {"HOST": "pass"}},
            "the credential helper 'pass' has the login for",
        ),
        ({"credsStore": "desktop", "auths": {"HOST": {}}}, "the credential helper 'desktop'"),
        (
            {"auths": {"HOST": {"identitytoken": "x"}}},
            "is an identity token, which is not supported",
        ),
        ({"auths": {"HOST": {"auth": "***"}}}, "is not base64 of user:password"),
        ({"auths": {"HOST": {"auth": "bWU="}}}, "is not base64 of user:password"),
        ({"auths": {"HOST": {"auth": "/w=="}}}, "is not base64 of user:password"),
        ({"auths": []}, "not a file of registry logins"),
        ("{", "not a file of registry logins"),
        ("", "not a file of registry logins"),
    ],
)
def test_logins_that_cannot_be_used_are_reported(registry, logged_in, get, tmp_path, config, said):
    registry.challenge = CHALLENGE
    text = config if isinstance(config, str) else json.dumps(config)
    web = logged_in(text.replace("HOST", registry.host))
    error = failure(lambda: get(request_of(registry.reference(), web), web))
    assert said in error.findings[0].message
    assert error.findings[0].where == f"classifier: {tmp_path / 'logins.json'}"
    assert registry.asked("/token") == []


@pytest.mark.parametrize(
    "config",
    [{}, {"credsStore": "desktop"}, {"auths": {"HOST": {}}}, {"auths": {"registry.example": {}}}],
)
def test_where_no_login_is_kept_the_token_is_requested_without_one(
    registry, logged_in, get, config
):
    registry.challenge = CHALLENGE
    web = logged_in(json.dumps(config).replace("HOST", registry.host))
    assert get(request_of(registry.reference(), web), web) == DATA


# ---- nobody else


def test_a_blob_may_lie_elsewhere_and_no_token_goes_there(registry, site, client, get):
    registry.challenge = CHALLENGE
    registry.moved[f"/v2/weights/digits/blobs/{DIGEST}"] = f"{site.url}/stored?signature=abc"
    request = request_of(registry.reference(registry.store(image((DIGEST, len(DATA))))), client)
    site.files["/stored?signature=abc"] = DATA
    assert get(request, client) == DATA
    assert "Authorization" in registry.asked("blobs")[0]
    assert "Authorization" not in site.seen[0][1]


def test_a_blob_that_lies_elsewhere_is_continued_there(registry, site, faults, client, get):
    registry.moved[f"/v2/weights/digits/blobs/{DIGEST}"] = f"{site.url}/stored"
    site.files["/stored"] = DATA
    site.faults["/stored"] = [faults.cut(DATA, 300_000)]
    assert get(request_of(registry.reference(), client), client) == DATA
    assert site.asked("/stored")[1]["Range"] == "bytes=300000-"


def test_a_challenge_from_where_a_blob_lies_is_not_answered(registry, logged_in, get):
    """Who stores blobs could otherwise ask for the registry's login."""
    storage = Registry()
    with contextlib.closing(storage):
        storage.challenge = 'Basic realm="x"'
        registry.moved[f"/v2/weights/digits/blobs/{DIGEST}"] = f"{storage.url}/v2/stored"
        web = logged_in({"auths": auths(registry.host)["auths"] | auths(storage.host)["auths"]})
        error = failure(lambda: get(request_of(registry.reference(), web), web))
    assert "401" in error.findings[0].message
    assert ["Authorization" in headers for _, headers in storage.seen] == [False]


def test_a_token_request_follows_no_redirect(registry, site, logged_in, get):
    registry.challenge, registry.login = CHALLENGE, BASIC
    registry.moved["/token"] = f"{site.url}/token"
    web = logged_in(auths(registry.host))
    error = failure(lambda: get(request_of(registry.reference(), web), web))
    assert "307" in error.findings[0].message
    assert error.findings[0].hint == "a login is for one host and does not follow redirects"
    assert site.seen == []


@pytest.mark.parametrize(
    ("realm", "said"),
    [
        ("http://auth.example/token", "does not use https"),
        ("", "names an invalid token service: ''"),
        ("/token", "names an invalid token service"),
        ("file:///etc/passwd", "names an invalid token service"),
        ("https://auth.example\\.registry.example/", "names an invalid token service"),
        ("https://registry.example@auth.example/", "names an invalid token service"),
    ],
)
def test_a_token_service_that_others_could_hear_is_not_asked(registry, client, get, realm, said):
    registry.challenge = f'Bearer realm="{realm}"'
    error = failure(lambda: get(request_of(registry.reference(), client), client))
    assert said in error.findings[0].message


def test_a_login_goes_to_no_foreign_token_service(registry, site, logged_in, get):
    registry.challenge = f'Bearer realm="{site.url}/token"'
    web = logged_in(auths(registry.host))
    error = failure(lambda: get(request_of(registry.reference(), web), web))
    assert error.findings[0].message == (
        f"the registry wants its login sent to another host, {site.host}"
    )
    assert site.seen == []


def test_a_token_that_needs_no_login_may_come_from_a_foreign_service(registry, site, client, get):
    registry.challenge = f'Bearer realm="{site.url}/token"'
    registry.tokens = ["foreign"]
    path = "/token?scope=repository%3Aweights%2Fdigits%3Apull"
    site.files[path] = b'{"token": "foreign"}'
    assert get(request_of(registry.reference(), client), client) == DATA
    assert "Authorization" not in site.seen[0][1]


@pytest.mark.parametrize(
    ("service", "registry_host", "own"),
    [
        ("registry.example", "registry.example", True),
        ("registry.example:8443", "registry.example", True),
        ("auth.registry.example", "registry.example", True),
        ("auth.corp.example", "registry.corp.example", True),
        ("corp.example", "registry.corp.example:5000", True),
        ("AUTH.corp.example", "registry.corp.example", True),
        ("evilcorp.example", "registry.corp.example", False),
        ("other.example", "registry.example", False),
        ("example", "registry.example", False),
        ("evil.de", "registry.de", False),
        ("10.0.0.2", "10.0.0.1", False),
        ("10.0.0.1:2", "10.0.0.1:1", False),
        ("[::2]:1", "[::1]:1", False),
    ],
)
def test_a_token_service_shares_its_registry_s_domain(service, registry_host, own):
    assert is_own(service, registry_host) is own
