"""The example's package for the CPU, made once per test run, and mpbuild run as users run it."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

TARGET = "//examples/digits"
CPU = ("--accelerator", "cpu")
LOCKS = "lockfiles/examples/digits"
WORKSPACE = ("mpbuild.toml", "examples/digits", LOCKS)
# What a build for the CPU takes: the locks of two environments, and of mpbuild's own.
TAKEN = (f"{LOCKS}/*.cpu.toml", f"{LOCKS}/*.train.toml", "lockfiles/toolchain/*.toml")
LONGEST_S = 600
# Not by its script, so that any interpreter that has the package may run it.
PROGRAM = ("-c", "from mpbuild.cli.main import main; main()")


class Answer(NamedTuple):
    """How a command ended, what it printed and what it said."""

    code: int
    out: bytes
    err: str

    @property
    def json(self):
        """The one object on standard output."""
        return json.loads(self.out)

    @property
    def target(self):
        """What ``build`` says of its one target."""
        assert self.code == 0, self.err + self.out.decode()
        (target,) = self.json["targets"]
        return target

    @property
    def digest(self):
        """The digest of the package that was built."""
        return self.target["package"]["digest"]

    @property
    def findings(self):
        """The findings' codes and messages."""
        return [(finding["code"], finding["message"]) for finding in self.json["findings"]]

    @property
    def ran(self):
        """The actions that ran, by their names in the record."""
        actions = json.loads(Path(self.target["record"]).read_bytes())["actions"]
        return {action["name"] for action in actions if action["result"] == "run"}


class Mpbuild(NamedTuple):
    """The command line: an interpreter, what it is started by, where, and in which environment."""

    BUILD = ("build", TARGET, *CPU, "--offline")

    workspace: Path
    store: Path
    environment: Mapping[str, str]
    python: str = sys.executable
    wrapper: Sequence[str] = ()

    def words(self, *words):
        """The whole command."""
        options = ("-C", self.workspace, "--store", self.store, "--format", "json")
        command = (*self.wrapper, self.python, *PROGRAM, *options, *words)
        return [os.fspath(word) for word in command]

    def start(self, *words):
        """Start it, to be waited for."""
        return subprocess.Popen(
            self.words(*words),
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *words, stdin=b""):
        """Run it to its end."""
        done = subprocess.run(
            self.words(*words),
            env=dict(self.environment),
            input=stdin,
            capture_output=True,
            timeout=LONGEST_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr.decode())

    def build(self, *options):
        """Build the example for the CPU alone, without the network."""
        return self(*self.BUILD, *options)

    def within(self, **variables):
        """The same with more variables in its environment."""
        return self._replace(environment={**self.environment, **variables})


class Digits(NamedTuple):
    """The example, built for the CPU: its digest, its layout, what is in it, and mpbuild."""

    mpbuild: Mpbuild
    digest: str
    layout: Path
    record: Path

    @property
    def request(self):
        """An infer request."""
        return self.mpbuild.workspace / "examples/digits/request.json"

    def layers(self, digest, kind="image"):
        """The layers of the one child of this kind of a package in the store: title to digest."""
        answer = self.mpbuild("inspect", digest)
        assert answer.code == 0, answer.err
        (child,) = [child for child in answer.json["children"] if child["kind"] == kind]
        return {layer["title"]: layer["digest"] for layer in child["layers"]}

    @property
    def blobs(self):
        """The files of the layout that the package consists of, nothing attached to it."""
        return sorted(reached(self.layout / "blobs/sha256", self.digest))


def prepare_digits(checkout, folder):
    """Fetch and build the example in ``folder`` if no worker of this test run did so before.

    Skips the test where no package index is within reach.
    """
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    mpbuild = Mpbuild(checkout, folder / "store", environment)
    note = folder / "made.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_text(json.dumps(make(mpbuild, folder / "layout", folder / "probe")))
    made = json.loads(note.read_text())
    if "skip" in made:
        pytest.skip(made["skip"])
    return Digits(mpbuild, made["digest"], folder / "layout", Path(made["record"]))


def make(mpbuild, layout, probe_folder):
    """Fetch and build; what the other workers are told."""
    probe = (
        "download",
        "--no-deps",
        "--no-cache-dir",
        "--retries=0",
        "--dest",
        str(probe_folder),
        "rfc8785",
    )
    found = subprocess.run([sys.executable, "-m", "pip", *probe], check=False, capture_output=True)
    if found.returncode:
        return {"skip": "no package index is within reach"}
    fetched = mpbuild("fetch", TARGET, *CPU)
    assert fetched.code == 0, fetched.err
    target = mpbuild.build("--output", layout).target
    return {"digest": target["package"]["digest"], "record": target["record"]}


def fill(digits, store):
    """A store at ``store`` with the inputs alone."""
    blobs = store / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for name in sorted(named(digits.mpbuild.workspace)):
        place(digits.mpbuild.store / "blobs" / "sha256" / name, blobs / name)
    return digits.mpbuild._replace(store=store)


def copy_store(digits, store):
    """A copy of the example's store at ``store``, with what is derived and the actions' results."""
    left_out = shutil.ignore_patterns("last", "scratch")
    shutil.copytree(
        digits.mpbuild.store, store, symlinks=True, ignore=left_out, copy_function=place
    )


def named(workspace):
    """The digests of the files that the locks of a build for the CPU name."""
    return {
        digest
        for pattern in TAKEN
        for lock in workspace.glob(pattern)
        for digest in re.findall(r'sha256 = "([0-9a-f]{64})"', lock.read_text())
    }


def reached(blobs, digest):
    """The names of the index and of all that it points at."""
    name = digest.removeprefix("sha256:")
    document = json.loads((blobs / name).read_bytes())
    children = document.get("manifests") or [document["config"], *document["layers"]]
    below = (child["digest"] for child in children)
    if "manifests" in document:
        return {name}.union(*(reached(blobs, digest) for digest in below))
    return {name, *(digest.removeprefix("sha256:") for digest in below)}


def place(source, target):
    """A file at another place: the same one where the filesystem allows it."""
    with contextlib.suppress(OSError):
        os.link(source, target, follow_symlinks=False)
        return
    shutil.copy2(source, target, follow_symlinks=False)
