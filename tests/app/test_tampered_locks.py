"""Locks that somebody tampered with: refused by checking, fetching and building, with the place.

``resealed`` ones have the right digest of their content, as of an attacker who knows mpbuild. What
can't be seen in such a file is found by what doesn't depend on it.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from mpbuild.app.lock.lock_files import environments
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.digest import Digest
from mpbuild.base.label import Label
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock

LABEL = Label("//models/tiny")
FOLDER = "lockfiles/models/tiny"
PYTHON, DEBIAN = f"{FOLDER}/pylock.cpu.toml", f"{FOLDER}/debian.cpu.toml"
COMMANDS = [["lock", "--check"], ["build", "--offline"], ["fetch"]]
WHEEL, FILE = "packages[0].wheels[0]", "numpy-2.0-py3-none-any.whl"
HASH = re.compile(r'sha256 = "[0-9a-f]{64}"')
EDITED = "the lock was edited or merged by hand"

Change = Callable[[str], str]


class Tampered(NamedTuple):
    """What is done to a lock, and the beginning of what is told of it, place first."""

    file: str
    change: Change
    told: str
    code: str = "lock-malformed"


def swap(*pairs: tuple[str, str]) -> Change:
    """Replace each first text wherever it stands by the second."""

    def changed(text: str) -> str:
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        return text

    return changed


def first(old: str, new: str) -> Change:
    """Replace a text where it stands first."""
    return lambda text: text.replace(old, new, 1)


def without(name: str) -> Change:
    """Leave a package out, and count again."""

    def changed(text: str) -> str:
        blocks = text.split("\n\n")
        kept = [block for block in blocks if f'name = "{name}"' not in block.split("wheels")[0]]
        assert len(kept) == len(blocks) - 1
        return "\n\n".join(kept).replace("packages = 2", "packages = 1")

    return changed


def twice(text: str) -> str:
    head, package, *rest = text.split("\n\n")
    return "\n\n".join([head, package, package, *rest])


def turned(text: str) -> str:
    head, one, other, *rest = text.split("\n\n")
    return "\n\n".join([head, other, one, *rest])


def with_another(text: str) -> str:
    """One package more, and counted."""
    one = text.split("\n\n")[1].replace("numpy", "zarr")
    return text.replace("[tool.mpbuild]", f"{one}\n\n[tool.mpbuild]").replace("= 2\n", "= 3\n")


def other_hash(text: str) -> str:
    return HASH.sub(f'sha256 = "{Digest.of(b"other").hex}"', text, count=1)


def resealed(*changes: Change) -> Change:
    """The text after ``changes``, with a digest of its content that is right again."""

    def changed(text: str) -> str:
        for change in changes:
            text = change(text)
        body = re.sub(r'content = "[^"]*"\n', "", text)
        content = f'content = "{Digest.of(body.encode())}"'
        return re.sub(r'content = "[^"]*"', content, text)

    return changed


def python(change: Change, told: str, code: str = "lock-malformed") -> Tampered:
    return Tampered(PYTHON, change, f"{PYTHON}{told}", code)


def debian(change: Change, told: str, code: str = "lock-malformed") -> Tampered:
    return Tampered(DEBIAN, change, f"{DEBIAN}{told}", code)


def drift(file: str, change: Change, told: str) -> Tampered:
    return Tampered(file, change, f"{file}{told}", "lock-drift")


TAMPERED = {
    # no document of the form
    "a byte order mark": python(lambda text: f"\ufeff{text}", ":1: begins with a byte order mark"),
    "a NUL": python(first("numpy", "num\0py"), ": not TOML"),
    "a control character": python(first("numpy", "num\x1bpy"), ": not TOML"),
    "a right-to-left mark": python(first("2.0", "2.\u202e0"), ": packages[0].version: '2."),
    "a very long line": python(first("\n", f" # {'x' * 5000}\n"), ": a line is longer than 4096"),
    "deep nesting": python(lambda text: f"x = {'[' * 3000}\n{text}", ": not TOML"),
    "nothing": python(lambda _: "", ": `lock-version` is missing"),
    "half of it": python(lambda text: text[: len(text) // 2], ": "),
    "a conflict of a merge": python(first("\n", "\n<<<<<<< HEAD\n"), ": not TOML"),
    "a key twice": python(first("created-by", 'created-by = "mpbuild"\ncreated-by'), ": not TOML"),
    "an unknown key": python(first("[tool.mpbuild]", "[tool.mpbuild]\nx = 1"), ": tool.mpbuild: "),
    "another version of the format": python(swap(("format = 1", "format = 2")), ": tool.mpbuild.f"),
    "no digest of the content": python(
        lambda text: text.rsplit("content", 1)[0], ": tool.mpbuild: `content` is missing"
    ),
    # what a package is
    "a hash of another length": python(
        lambda text: HASH.sub('sha256 = "0"', text, 1), f": {WHEEL}.hashes.sha256: "
    ),
    "a hash in capitals": python(
        lambda text: HASH.sub(f'sha256 = "{"A" * 64}"', text, 1), f": {WHEEL}.hashes.sha256: "
    ),
    "md5 alone": python(first("sha256 =", "md5 ="), f": {WHEEL}.hashes: `sha256` is missing"),
    "one algorithm more": python(
        first("{ sha256", '{ md5 = "0", sha256'), f": {WHEEL}.hashes: unknown key `md5`"
    ),
    "no size": python(lambda text: re.sub(r"size = \d+, ", "", text, count=1), f": {WHEEL}: `siz"),
    "a size of zero": python(
        lambda text: re.sub(r"size = \d+", "size = 0", text, count=1), f": {WHEEL}.size: 0"
    ),
    "a name alone": python(first('name = "numpy"', 'name = "numpi"'), f": {WHEEL}.name: "),
    "a look-alike name": python(first('name = "numpy"', 'name = "num\u0440y"'), ": packages[0].na"),
    "a version alone": python(first('version = "2.0"', 'version = "2.1"'), f": {WHEEL}.name: "),
    "a wheel of another package": python(
        swap((FILE, "scipy-2.0-py3-none-any.whl")), f": {WHEEL}.n"
    ),
    "a wheel for another platform": python(
        swap((FILE, "numpy-2.0-cp311-cp311-win_amd64.whl")), f": {WHEEL}.name: "
    ),
    "a wheel for another Python": python(
        swap((FILE, "numpy-2.0-cp312-cp312-manylinux_2_28_x86_64.whl")), f": {WHEEL}.name: "
    ),
    "a source distribution": python(
        first("wheels = [", 'sdist = { name = "numpy-2.0.tar.gz" }\nwheels = ['),
        ": packages[0]: unknown key `sdist`",
    ),
    "a version control system": python(
        first("wheels = [", 'vcs = { type = "git", url = "https://x.example" }\nwheels = ['),
        ": packages[0]: unknown key `vcs`",
    ),
    "a directory": python(
        first("wheels = [", 'directory = { path = "." }\nwheels = ['), ": packages[0]: unknown key"
    ),
    "an archive": python(
        first("wheels = [", 'archive = { path = "a.zip" }\nwheels = ['), ": packages[0]: unknown"
    ),
    "two wheels": python(
        lambda text: re.sub(r"wheels = \[(.*?)\]\n", r"wheels = [\1, \1]\n", text, count=1),
        ": packages[0].wheels: a package has one wheel, not 2",
    ),
    "no wheel": python(
        lambda text: re.sub(r"wheels = \[(.*?)\]\n", "wheels = []\n", text, count=1),
        ": packages[0].wheels: a package has one wheel, not 0",
    ),
    "an address of a wheel": python(
        first("path = ", 'url = "https://x.example/a.whl", path = '),
        f": {WHEEL}: unknown key `url`",
    ),
    "an index by address": python(
        first("tool.mpbuild.index", 'index = "https://x.example"\ntool.mpbuild.index'),
        ": packages[0]: unknown key `index`",
    ),
    "an address as an index": python(
        first('index = "default"', 'index = "https://x.example"'), ": packages[0].tool.mpbuild.ind"
    ),
    "a path out of the folder": python(first('"wheels/', '"../wheels/'), f": {WHEEL}.path: "),
    "an absolute path": python(first('"wheels/', '"/wheels/'), f": {WHEEL}.path: "),
    "a marker of a package": python(
        first("wheels = [", "marker = \"python_version < '3'\"\nwheels = ["),
        ": packages[0]: unknown key `marker`",
    ),
    "dependencies of a package": python(
        first("wheels = [", 'dependencies = [{ name = "x" }]\nwheels = ['), ": packages[0]: unknown"
    ),
    # what the lock says of itself
    "a marker that is false": python(first("'linux'", "'never'"), ": environments: must be"),
    "another platform": python(swap(("linux/amd64", "linux/arm64")), ": tool.mpbuild.platform: "),
    "another Python": drift(
        PYTHON, swap(("3.11", "3.13")), ": the lock is for Python 3.13, the spec for 3.11"
    ),
    "a package too few for the count": python(
        lambda text: without("numpy")(text).replace("packages = 1", "packages = 2"),
        ": tool.mpbuild.packages: must be 1, not 2",
    ),
    "a package twice": python(
        twice, ": packages[1].name: duplicate name numpy, also in packages[0]"
    ),
    "a floor of glibc": python(
        first('python = "3.11"', 'python = "3.11"\nglibc = "2.17"'), ": tool.mpbuild.glibc: "
    ),
    "a floor of CUDA": python(
        first('python = "3.11"', 'python = "3.11"\ncuda = "12.4"'), ": tool.mpbuild.cuda: "
    ),
    "a floor of the driver": python(
        first('python = "3.11"', 'python = "3.11"\ndriver = "525"'), ": tool.mpbuild.driver: "
    ),
    "the lock of another environment": drift(
        PYTHON, swap(('environment = "cpu"', 'environment = "cuda"')), ": the lock is for cuda"
    ),
    # what only the digest of the content shows
    "a hash": drift(PYTHON, other_hash, f":26: {EDITED}"),
    "a size": drift(
        PYTHON, lambda text: re.sub(r"size = \d+", "size = 1", text, count=1), f":26: {EDITED}"
    ),
    "a version with its wheel": drift(
        PYTHON,
        swap(
            ('name = "numpy"\nversion = "2.0"', 'name = "numpy"\nversion = "2.1"'),
            ("numpy-2.0", "numpy-2.1"),
        ),
        f":26: {EDITED}",
    ),
    "a package more": drift(PYTHON, with_another, f":32: {EDITED}"),
    "the resolver": drift(PYTHON, swap(("uv 0.13.9", "uv 0.13.8")), f":26: {EDITED}"),
    # the layout
    "packages in another order": drift(PYTHON, turned, f":7: {EDITED}"),
    "a comment": drift(PYTHON, first("\n", " # mine\n"), f":1: {EDITED}"),
    "line ends of Windows": drift(PYTHON, swap(("\n", "\r\n")), f":1: {EDITED}"),
    "no end of line": drift(PYTHON, lambda text: text[:-1], f":27: {EDITED}"),
    # what can be seen though the digest of the content is right
    "a requirement less": drift(PYTHON, resealed(without("numpy")), ": the lock lacks numpy"),
    "the resolution": drift(
        PYTHON,
        resealed(lambda text: re.sub(r'resolution = "sha256:.', 'resolution = "sha256:0', text)),
        ": the spec has changed since it was locked",
    ),
    "another Python, resealed": drift(
        PYTHON, resealed(swap(("3.11", "3.13"))), ": the lock is for Python 3.13"
    ),
    "another environment, resealed": drift(
        PYTHON, resealed(swap(('environment = "cpu"', 'environment = "train"'))), ": the lock is"
    ),
    "an index that owns nothing, resealed": drift(
        PYTHON, resealed(first('index = "default"', 'index = "other"')), ": numpy is from the index"
    ),
    # the Debian lock
    "a pool path that leaves": debian(first('"pool/', '"pool/../'), ": packages[0].path: "),
    "an absolute pool path": debian(first('"pool/', '"/pool/'), ": packages[0].path: "),
    "an address of a package": debian(
        first('"pool/', '"https://x.example/pool/'), ": packages[0].path: "
    ),
    "a key for an address": debian(
        first("base = true", 'url = "https://x.example"\nbase = true'), ": packages[0]: unknown key"
    ),
    "another architecture of a package": debian(
        swap(
            (
                'name = "python3.11-minimal"\nversion = "3.11.2-6"\narchitecture = "amd64"',
                'name = "python3.11-minimal"\nversion = "3.11.2-6"\narchitecture = "arm64"',
            )
        ),
        ": packages[0].architecture: ",
    ),
    "another architecture": debian(
        swap(("amd64", "arm64")), ": architecture: must be 'amd64', not 'arm64'"
    ),
    "another version of a package": debian(first("3.11.2-6", "3.11.2-5"), ": packages[0].path: "),
    "another name of a package": debian(
        first('name = "python3.11-minimal"', 'name = "python3.11"'), ": packages[0].path: "
    ),
    "a Debian hash of another length": debian(
        lambda text: HASH.sub('sha256 = "0"', text, 1), ": packages[0].sha256: "
    ),
    "md5 of a Debian package": debian(
        lambda text: HASH.sub('md5sum = "0"', text, 1), ": packages[0]: `sha256` is missing"
    ),
    "a wrong count": debian(first("count = 1", "count = 2"), ": count: must be 1, not 2"),
    "a Debian package twice": debian(twice, ": packages[1].name: "),
    "an unknown archive": debian(
        first("base = true", 'archive = "mine"\nbase = true'), ": packages[0].archive: "
    ),
    "a link out of nowhere": debian(
        lambda text: f'{text}\n[[links]]\npackage = "gawk"\nomitted = true\n', ": links"
    ),
    "no byte of TOML": debian(lambda _: "{}", ": not TOML"),
    "a Debian hash": drift(DEBIAN, other_hash, f":8: {EDITED}"),
    "a Debian size": drift(
        DEBIAN, lambda text: re.sub(r"size = \d+", "size = 1", text, count=1), f":8: {EDITED}"
    ),
    "a Debian version with its path": drift(
        DEBIAN, swap(("3.11.2-6", "3.11.2-5")), f":8: {EDITED}"
    ),
    "another suite, resealed": drift(
        DEBIAN, resealed(first("bookworm", "trixie")), ": the lock is for trixie"
    ),
    "the flag of the base, resealed": drift(
        DEBIAN,
        resealed(first("base = true", "base = false")),
        ": python3.11-minimal is part of the base",
    ),
    "another environment's packages, resealed": drift(
        DEBIAN,
        resealed(first('environment = "cpu"', 'environment = "rocm"')),
        ": the lock is for",
    ),
}


@pytest.fixture
def root(tiny, tmp_path) -> Path:
    """A copy of the tiny workspace."""
    return shutil.copytree(tiny.workspace, tmp_path / "workspace")


@pytest.fixture
def tamper(root):
    """``tamper(file, change)``: write a lock anew."""

    def write(file: str, change: Change) -> None:
        path = root / file
        text = path.read_bytes().decode()
        assert change(text) != text
        path.write_bytes(change(text).encode())

    return write


@pytest.mark.parametrize("case", TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_lock_is_refused_by_every_command_with_its_place(root, tamper, cli, case):
    tamper(case.file, case.change)
    answers = [cli("-C", root, *command) for command in COMMANDS]
    for answer in answers:
        finding = answer.json["findings"][0]
        assert f"{finding['where']}: {finding['message']}".startswith(case.told)
        assert (answer.code, finding["code"], finding["severity"]) == (2, case.code, "error")
        assert finding["hint"]
    assert all(answer.json["findings"] == answers[0].json["findings"] for answer in answers)


def test_there_are_many_ways_to_tamper_with_a_lock():
    assert len(TAMPERED) >= 30
    assert {case.file for case in TAMPERED.values()} == {PYTHON, DEBIAN}


@pytest.mark.parametrize("kind", ["pylock", "debian"])
def test_locks_of_two_accelerators_can_not_be_swapped(root, cli, kind):
    spec = root / LABEL.path / "model.toml"
    spec.write_text(spec.read_text() + '[accelerators.rocm]\ndependencies = ["tinynumbers"]\n')
    for one in environments(OpenWorkspace(root).target(LABEL)):
        own = {"environment": one.name}
        lock = pylock.read((root / PYTHON).read_text(), file="")
        python = msgspec.structs.replace(lock, **own, resolution=one.python.digest)
        debs = deblock.read((root / DEBIAN).read_text(), file="")
        one.python_file.write_text(pylock.write(python))
        one.debian_file.write_text(deblock.write(msgspec.structs.replace(debs, **own)))
    assert cli("-C", root, "lock", "--check").code == 0
    one, other = (root / FOLDER / f"{kind}.{name}.toml" for name in ("cpu", "rocm"))
    texts = one.read_text(), other.read_text()
    one.write_text(texts[1])
    other.write_text(texts[0])
    answer = cli("-C", root, "build", "--offline")
    assert answer.code == 2
    assert {(f["code"], Path(f["where"]).name) for f in answer.json["findings"]} == {
        ("lock-drift", one.name),
        ("lock-drift", other.name),
    }


# ---- what no file can say of itself


def test_another_hash_is_no_file_of_the_store_nor_of_an_index(tamper, root, cli):
    tamper(PYTHON, resealed(other_hash))
    assert cli("-C", root, "lock", "--check").code == 0, "nothing in the file is wrong"
    answer = cli("-C", root, "build", "--offline")
    assert answer.code == 3
    (finding,) = answer.json["findings"]
    assert (finding["code"], finding["message"]) == (
        "fetch-failed",
        f"{FILE} is not in the store",
    )


@pytest.mark.parametrize("file", [PYTHON, DEBIAN])
def test_another_size_is_not_that_of_the_file(tamper, root, cli, file):
    tamper(file, resealed(lambda text: re.sub(r"size = \d+", "size = 7", text, count=1)))
    assert cli("-C", root, "lock", "--check").code == 0
    for command in (["build", "--offline"], ["fetch"]):
        answer = cli("-C", root, *command)
        assert (answer.code, answer.json["findings"][0]["code"]) == (2, "content-mismatch")


def test_the_file_of_another_package_is_no_wheel_of_this_one(tamper, root, cli):
    def other_file(text: str) -> str:
        size, digest = re.findall(r"size = (\d+), hashes = { sha256 = \"(\w+)\"", text)[1]
        return re.sub(
            r"size = \d+, hashes = { sha256 = \"\w+\"",
            f'size = {size}, hashes = {{ sha256 = "{digest}"',
            text,
            count=1,
        )

    tamper(PYTHON, resealed(other_file))
    assert cli("-C", root, "lock", "--check").code == 0
    answer = cli("-C", root, "build", "--offline")
    assert answer.code == 2, answer.json
    assert "numpy" in str(answer.json["findings"])


def test_who_verifies_against_a_reviewed_checkout_finds_another_lock(
    tiny, root, tamper, signed, cli
):
    """The package was built from one lock; the checkout that was reviewed has another."""
    words = ("verify", signed.folder, "--key", tiny.key.public, "--offline", "--source", root)
    assert cli(*words).passed
    tamper(PYTHON, resealed(swap(("uv 0.13.9", "uv 0.13.8"))))
    assert cli(*words).failed_with("lock-mismatch")


def test_a_package_whose_lock_is_not_in_the_one_form_is_refused(unsigned):
    path = "opt/model/locks/pylock.cpu.toml"
    text = unsigned.files("spec and locks")[path].decode()
    unsigned.replace_file("spec and locks", path, other_hash(text).encode())
    unsigned.sign()
    assert unsigned.verify().failed_with("lock-malformed")
