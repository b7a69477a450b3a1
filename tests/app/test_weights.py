"""Weights that `mpbuild lock` pins: from tags and addresses, into the TOML that people keep."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mpbuild.app.lock import pin_weights
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.base.label import Label
from mpbuild.effects.http.retry import RetryPolicy
from mpbuild.effects.registry.client import registry_client
from mpbuild.effects.store.store import Store
from mpbuild.spec.weight_pins import Pin

DATA = bytes(range(256)) * 4096
OTHER = DATA[::-1]
LABEL = Label("//models/tiny")
SPEC = "models/tiny/model.toml"
PATH = 'path = "weights/numbers.bin"\n'
LINE = 17
NAME = "vision/digits"
# Run by another process, which is killed: the one thing that `mpbuild lock` does before it locks.
SCRIPT = """
import sys
from pathlib import Path
from mpbuild.app.lock import pin_weights as weights
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.errors import MpbuildError
from mpbuild.base.label import Label
from mpbuild.effects.http.retry import RetryPolicy
from mpbuild.effects.registry.client import registry_client
from mpbuild.effects.store.store import Store
target = OpenWorkspace(Path(sys.argv[1])).target(Label("//models/tiny"))
web = registry_client({}, RetryPolicy(backoff=0.001))
store = lambda: Store(Path(sys.argv[2]))
try:
    weights.pin(target, upgrade=False, store=store, web=web, say=print)
except MpbuildError as error:
    sys.exit(error.findings[0].code)
"""


class Server:
    """A web server and a registry on 127.0.0.1; ``meanwhile`` is done before a path is answered."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.meanwhile: dict[str, Callable[[], object]] = {}
        self.hangs: set[str] = set()
        self.released = threading.Event()
        self.halfway = threading.Event()
        self.seen: list[tuple[str, str]] = []
        self._server = _Quiet(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def push(self, tag: str, data: bytes = DATA) -> Digest:
        """An artifact of one file under a tag; the digest of its manifest."""
        digest = Digest.of(data)
        layer = {"mediaType": "x/y", "digest": str(digest), "size": len(data)}
        manifest = json.dumps({"layers": [layer]}).encode()
        for name in (tag, Digest.of(manifest)):
            self.files[f"/v2/{NAME}/manifests/{name}"] = manifest
        self.files[f"/v2/{NAME}/blobs/{digest}"] = data
        return Digest.of(manifest)

    def reference(self, tag: str = "v1", digest: str = "") -> str:
        return f"oci://{self.host}/{NAME}:{tag}" + (f"@{digest}" if digest else "")

    def asked(self, part: str) -> list[str]:
        """The ranges that were asked of paths with ``part`` in them."""
        return [span for path, span in self.seen if part in path]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that goes away is none of the server's business."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            span = self.headers.get("Range", "")
            server.seen.append((self.path, span))
            server.meanwhile.pop(self.path, lambda: None)()
            data = server.files.get(self.path)
            with contextlib.suppress(ConnectionError):
                if data is None:
                    self._say(404, 0)
                elif found := re.fullmatch(r"bytes=(\d+)-(\d*)", span):
                    start, last = int(found[1]), int(found[2] or len(data) - 1)
                    self._say(206, last + 1 - start, f"bytes {start}-{last}/{len(data)}", data)
                    self.wfile.write(data[start : last + 1])
                else:
                    self._say(200, len(data), "", data)
                    self._write(data)

        def _write(self, data: bytes) -> None:
            if self.path in server.hangs:
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                server.halfway.set()
                server.released.wait()
                self.close_connection = True
            else:
                self.wfile.write(data)

        def _say(self, status: int, size: int, span: str = "", data: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(size))
            self.send_header("ETag", f'"{Digest.of(data).hex[:16]}"')
            if span:
                self.send_header("Content-Range", span)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def root(tiny, tmp_path) -> Path:
    """A copy of the tiny workspace."""
    return shutil.copytree(tiny.workspace, tmp_path / "workspace")


@pytest.fixture
def write(root):
    """``write(keys)``: the spec, with these keys of its weights in the place of their path."""

    def spec(*keys: str) -> Path:
        path = root / SPEC
        text = path.read_text()
        assert PATH in text
        path.write_text(text.replace(PATH, "".join(f"{key}\n" for key in keys)))
        return path

    return spec


@pytest.fixture
def pin(root, tmp_path):
    """``pin()``: what became pinned."""

    def pinned(*, upgrade: bool = False) -> list[pin_weights.PinnedWeight]:
        return pin_weights.pin(
            OpenWorkspace(root).target(LABEL),
            upgrade=upgrade,
            store=lambda: Store(tmp_path / "store"),
            web=registry_client({}, RetryPolicy(backoff=0.001)),
            say=lambda _: None,
        )

    return pinned


@pytest.fixture
def check(root):
    """``check()``: what has moved, as severity, code and message."""

    def findings() -> list[tuple[str, str, str]]:
        target = OpenWorkspace(root).target(LABEL)
        found = pin_weights.check(target, registry_client({}, RetryPolicy(backoff=0.001)))
        assert all(finding.where.startswith(f"{SPEC}:{LINE}") for finding in found)
        return [(finding.severity, finding.code, finding.message) for finding in found]

    return findings


def keys(url: str, data: bytes = DATA) -> tuple[str, str, str]:
    """The keys of pinned weights."""
    return f'url = "{url}"', f'sha256 = "{Digest.of(data).hex}"', f"size = {len(data)}"


def lines(path: Path) -> list[str]:
    """The keys of the weights beside their name and version."""
    return path.read_text().split('version = "1.0.0"\n')[3].split("[io]")[0].splitlines()


# ---- pinning


def test_a_tag_is_pinned_without_fetching_the_weights(server, write, pin, tmp_path):
    manifest = server.push("v1")
    path = write(f"url = '{server.reference()}' # ours")
    before = path.read_text()
    (pinned,) = pin()
    assert path.read_text() == before.replace(
        f"'{server.reference()}' # ours\n",
        f"'{server.reference('v1', manifest)}' # ours\nsha256 = '{Digest.of(DATA).hex}'\n"
        f"size = {len(DATA)}\n",
    )
    pin_of_tag = Pin(url=server.reference("v1", manifest), sha256=Digest.of(DATA), size=len(DATA))
    assert (pinned.label, pinned.name) == ("//models/tiny", "numbers")
    assert (pinned.pin, pinned.before) == (pin_of_tag, None)
    assert server.asked("blobs") == []


def test_an_address_is_fetched_once_and_is_there_for_the_build(server, root, write, pin, cli, tiny):
    server.files["/w.bin"] = DATA
    path = write(f'url = "{server.url("/w.bin")}"')
    (pinned,) = pin()
    assert lines(path) == list(keys(server.url("/w.bin")))
    assert (pinned.pin.size, pinned.before) == (len(DATA), None)
    assert server.asked("/w.bin") == [""]
    shutil.copytree(tiny.store.path, root.parent / "store", dirs_exist_ok=True)
    answer = cli("-C", root, "build", "--offline", store=root.parent / "store")
    assert answer.code == 0, answer.json
    assert len(server.seen) == 1


def test_what_is_pinned_is_not_asked_for(server, write, pin):
    write(*keys(server.reference("v1", server.push("v1"))))
    server.push("v1", OTHER)
    assert pin() == []
    assert server.seen == []


def test_a_known_digest_makes_fetching_needless(server, write, pin):
    server.files["/w.bin"] = DATA
    path = write(*keys(server.url("/w.bin"))[:2])
    pin()
    assert lines(path)[1:] == [f"size = {len(DATA)}", keys("")[1]]
    assert server.asked("/w.bin") == ["bytes=0-0"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("tag", f'sha256 = "{Digest.of(OTHER).hex}"'),
        ("tag", "size = 7"),
        ("address", "size = 7"),
    ],
)
def test_what_the_spec_says_already_must_be_true(server, write, pin, kind, said):
    server.push("v1")
    server.files["/w.bin"] = DATA
    url = server.reference() if kind == "tag" else server.url("/w.bin")
    path = write(f'url = "{url}"', said)
    before = path.read_bytes()
    with pytest.raises(EnvironmentFailureError) as caught:
        pin()
    (finding,) = caught.value.findings
    assert finding.code == "content-mismatch"
    assert finding.where.startswith(f"{SPEC}:{LINE}: numbers")
    assert path.read_bytes() == before


def test_windows_line_ends_links_and_modes_stay(server, root, write, pin):
    server.push("v1")
    path = write(f'url = "{server.reference()}"')
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    path.chmod(0o640)
    own = path.rename(root / "elsewhere.toml")
    path.symlink_to("../../elsewhere.toml")
    pin()
    assert path.is_symlink()
    assert own.stat().st_mode & 0o7777 == 0o640
    assert own.read_bytes().count(b"\n") == own.read_bytes().count(b"\r\n")
    assert f"size = {len(DATA)}\r\n".encode() in own.read_bytes()
    assert [entry.name for entry in root.iterdir() if entry.name.startswith(".new")] == []


def test_a_read_only_spec_is_reported_before_anything_is_asked(server, write, pin):
    path = write(f'url = "{server.url("/w.bin")}"')
    path.chmod(0o444)
    with pytest.raises(EnvironmentFailureError, match="the file is read-only") as caught:
        pin()
    assert (caught.value.findings[0].code, caught.value.findings[0].where) == ("system", SPEC)
    assert server.seen == []


def test_what_a_person_writes_meanwhile_is_not_lost(server, write, pin, tmp_path):
    server.files["/w.bin"] = DATA
    path = write(f'url = "{server.url("/w.bin")}"')
    mine = path.read_text() + "# mine\n"
    server.meanwhile["/w.bin"] = lambda: path.write_text(mine)
    with pytest.raises(InputError, match="changed while its weights were being pinned") as caught:
        pin()
    assert caught.value.findings[0].where == SPEC
    assert path.read_text() == mine
    assert Store(tmp_path / "store").has(Digest.of(DATA))
    pin()
    assert path.read_text().endswith("# mine\n")


def test_two_at_once_pin_once(server, write, pin):
    server.files["/w.bin"] = DATA
    path = write(f'url = "{server.url("/w.bin")}"')
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: pin(), range(4)))
    assert sorted(map(len, found)) == [0, 0, 0, 1]
    assert server.asked("/w.bin") == [""]
    assert lines(path) == list(keys(server.url("/w.bin")))


def test_a_tag_is_asked_once_for_all_weights_that_name_it(server, write, pin):
    first = server.push("v1")
    more = '[[core.weights]]\nname = "more"\nversion = "2.0.0"'
    path = write(f'url = "{server.reference()}"', more, f'url = "{server.reference()}"')
    pin()
    assert path.read_text().count(first) == 2
    assert len(server.asked("manifests/v1")) == 1


def killed(root: Path, store: Path, server: Server) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, root, store], stdout=subprocess.DEVNULL
    )
    assert server.halfway.wait(60)
    # Half of it is on its way; some of that must have arrived.
    parts = store / "partial"
    while not any(path.stat().st_size for path in parts.glob("*.part")):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_who_is_killed_leaves_a_whole_spec_and_the_next_goes_on(server, root, write, pin, tmp_path):
    server.files |= {"/first.bin": OTHER, "/second.bin": DATA * 8}
    server.hangs.add("/second.bin")
    more = '[[core.weights]]\nname = "more"\nversion = "2.0.0"'
    path = write(
        f'url = "{server.url("/first.bin")}"', more, f'url = "{server.url("/second.bin")}"'
    )
    killed(root, tmp_path / "store", server)
    first, second = OpenWorkspace(root).target(LABEL).model.core.weights
    assert (first.pinned, second.pinned) == (True, False)
    server.released.set()
    server.hangs.clear()
    server.seen.clear()
    (pinned,) = pin()
    assert (pinned.name, pinned.pin.sha256) == ("more", Digest.of(DATA * 8))
    probe, rest = server.asked("/second.bin")
    assert probe == "bytes=0-0"
    assert re.fullmatch(r"bytes=[1-9]\d*-", rest)
    assert server.asked("/first.bin") == []
    assert path.read_text().count("sha256 =") == 2


def test_a_full_disk_leaves_the_spec_as_it_is(server, root, write, pin, tmp_path):
    server.files["/w.bin"] = DATA * 4
    path = write(f'url = "{server.url("/w.bin")}"')
    before = path.read_bytes()
    disk = tmp_path / "disk"
    disk.mkdir()
    own = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "disk", str(disk)]
    tried = subprocess.run([*own, *mount], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no small disk can be mounted: {tried.stderr.strip()}")
    python = [sys.executable, "-c", SCRIPT, root, disk]
    script = [*own, "sh", "-c", f'{" ".join(mount)} && exec "$@"', "sh", *python]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "disk-full\n")
    assert path.read_bytes() == before
    assert len(pin()) == 1


# ---- what is pinned, later


def test_an_upgrade_follows_a_tag_that_moved(server, write, pin):
    old = server.push("v1")
    path = write(*keys(server.reference("v1", old)))
    assert pin(upgrade=True) == []
    new = server.push("v1", b"better")
    (pinned,) = pin(upgrade=True)
    assert lines(path) == list(keys(server.reference("v1", new), b"better"))
    assert pinned.before == Pin(
        url=server.reference("v1", old), sha256=Digest.of(DATA), size=len(DATA)
    )


def test_an_upgrade_takes_no_other_file_at_an_address(server, write, pin):
    server.files["/w.bin"] = DATA
    path = write(*keys(server.url("/w.bin")))
    before = path.read_bytes()
    assert pin(upgrade=True) == []
    server.files["/w.bin"] = b"other"
    with pytest.raises(EnvironmentFailureError, match="now has 5 bytes; pinned: 1048576") as caught:
        pin(upgrade=True)
    assert caught.value.findings[0].code == "content-mismatch"
    assert "remove sha256 and size" in caught.value.findings[0].hint
    assert path.read_bytes() == before


def test_a_check_tells_a_tag_that_moved_and_changes_nothing(server, write, check):
    path = write(*keys(server.reference("v1", server.push("v1"))))
    before = path.read_bytes()
    assert check() == []
    new = server.push("v1", OTHER)
    message = f"the tag v1 of numbers now points to {new}"
    assert check() == [("warning", "weights-moved", message)]
    assert path.read_bytes() == before
    assert "" not in server.asked("blobs"), "nothing is fetched whole"


@pytest.mark.parametrize("change", ["manifest", "blob", "address"])
def test_a_check_tells_other_bytes_under_the_same_name(server, write, check, change):
    manifest = server.push("v1")
    server.files["/w.bin"] = DATA
    write(*keys(server.url("/w.bin") if change == "address" else server.reference("v1", manifest)))
    assert check() == []
    place = {
        "manifest": f"/v2/{NAME}/manifests/{manifest}",
        "blob": f"/v2/{NAME}/blobs/{Digest.of(DATA)}",
        "address": "/w.bin",
    }
    server.files[place[change]] += b" "
    ((severity, code, _),) = check()
    assert (severity, code) == ("error", "content-mismatch")


def test_a_check_tells_what_is_gone(server, write, check):
    write(*keys(server.reference("v1", server.push("v1"))))
    server.files.clear()
    ((severity, code, message),) = check()
    assert (severity, code) == ("error", "fetch-failed")
    assert "404" in message


# ---- what is not pinned, elsewhere


@pytest.mark.parametrize("command", [["lock", "--check"], ["build"], ["fetch"]])
@pytest.mark.parametrize("missing", ["digest", "sha256", "size"])
def test_nothing_but_lock_takes_weights_that_are_not_pinned(
    server, root, write, cli, command, missing
):
    manifest = server.push("v1")
    url = server.reference("v1", "" if missing == "digest" else manifest)
    write(*(key for key in keys(url) if not key.startswith(missing)))
    answer = cli("-C", root, *command)
    assert answer.code == 2
    (finding,) = answer.json["findings"]
    assert (finding["code"], finding["where"]) == ("lock-missing", f"{SPEC}:{LINE}")
    assert finding["message"] == "the weights numbers are fetched but not pinned"
    assert finding["hint"] == "run `mpbuild lock`"
    assert server.seen == []


def test_a_tag_beside_the_digest_travels_and_the_package_is_verified(
    server, root, write, pin, cli, tiny, tmp_path
):
    server.push("v1")
    write(f'url = "{server.reference()}"')
    pin()
    server.push("v1", OTHER)
    store = tmp_path / "own store"
    shutil.copytree(tiny.store.path, store)
    output = tmp_path / "built"
    words = ("--output", output)
    answer = cli("-C", root, "build", *words, store=store)
    assert answer.code == 0, answer.json
    assert cli("sign", output, "--key", tiny.key.private, store=store).code == 0
    answer = cli("verify", output, "--key", tiny.key.public, "--offline", store=store)
    assert answer.passed
    assert ("weights", str(Digest.of(DATA))) in [
        (leaf["kind"], leaf["digest"]) for leaf in answer.json["leaves"]
    ]


def test_a_package_whose_spec_leaves_weights_open_is_no_package(unsigned):
    spec = json.loads(unsigned.files("spec and locks")["opt/model/spec.json"])
    spec["core"]["weights"][0] = {
        "name": "numbers",
        "version": "1.0.0",
        "url": "oci://registry.example/vision/digits:v1",
        "sha256": Digest.of(DATA).hex,
        "size": len(DATA),
    }
    unsigned.replace_file("spec and locks", "opt/model/spec.json", canonical.encode(spec))
    unsigned.sign()
    answer = unsigned.verify()
    assert answer.failed_with("derivation-mismatch")
    assert "the fetched weights 'numbers' are not pinned" in answer.told("derivation-mismatch")
