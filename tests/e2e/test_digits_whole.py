"""The example for all of its accelerators, as it is: 2 GB of wheels, in little memory."""

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.network, pytest.mark.sandbox]
TARGET = "//examples/digits"
ACCELERATORS = ["cpu", "cuda", "rocm"]
PROCESSORS = len(os.sched_getaffinity(0))
MOST_LAYERS = 127
MOMENT_S = 0.01


def most_memory(jobs):
    """In KiB, with so many layers derived at once: what they hold, and the interpreter."""
    return (130 + 70 * jobs) * 1000_000 // 1024


class Measured(NamedTuple):
    """How a command ended, what it printed, and its peak of memory in KiB.

    That is memory that no file backs: what mapped files take is the system's to free.
    """

    code: int
    out: bytes
    err: str
    peak: int

    @property
    def json(self):
        assert self.code == 0, self.err + self.out.decode()
        return json.loads(self.out)


def measured(mpbuild, *words):
    """Run mpbuild, and look at its memory again and again."""
    process, peak = mpbuild.start(*words), 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=MOMENT_S)
            return Measured(process.returncode, out, err.decode(), peak)
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{process.pid}/status").read_text()
            peak = max(peak, *map(int, re.findall(r"^RssAnon:\s+(\d+) kB", told, re.MULTILINE)), 0)


class Whole(NamedTuple):
    """The package: what ``build`` said, its layout, the key it is signed with, and mpbuild."""

    built: Measured
    layout: Path
    key: Path
    mpbuild: object

    @property
    def target(self):
        (target,) = self.built.json["targets"]
        return target

    def elsewhere(self, store):
        """mpbuild where only the layout is known."""
        return self.mpbuild._replace(workspace=self.layout.parent, store=store)


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory):
    """Everything fetched into the store of the example, built and signed."""
    folder = tmp_path_factory.mktemp("whole")
    mpbuild = digits.mpbuild.within(MPBUILD_KEY_PASSPHRASE="")
    fetched = mpbuild("fetch", TARGET)
    assert fetched.code == 0, fetched.err
    assert mpbuild("keygen", folder / "key").code == 0
    words = ("--sign", "--key", folder / "key.key", "--output", folder / "layout")
    built = measured(mpbuild, "build", TARGET, "--offline", "--jobs", "1", *words)
    return Whole(built, folder / "layout", folder / "key.pub", mpbuild)


def test_it_is_built_whole_in_little_memory(digits, whole):
    target = whole.target
    assert target["package"]["partial"] is False
    for kind in ("images", "pex"):
        assert [child["accelerator"] for child in target[kind]] == ACCELERATORS
    assert whole.built.peak < most_memory(1)
    sizes = {image["accelerator"]: image["size"] for image in target["images"]}
    assert sizes["cuda"] > 1 << 30


def test_images_share_layers_and_have_as_many_as_engines_take(digits, whole):
    found = digits.mpbuild("inspect", whole.layout).json["children"]
    images = [
        {layer["title"]: layer["digest"] for layer in child["layers"]}
        for child in found
        if child["kind"] == "image"
    ]
    assert max(map(len, images)) <= MOST_LAYERS
    common = set.intersection(*(set(image.items()) for image in images))
    names = {title.partition(" ")[0].rstrip(":") for title, _ in common}
    assert {"base", "numpy", "code", "mpbuild", "weights"} <= names
    cpu = digits.layers(digits.digest)
    assert images[0] == cpu, "a partial package has the same image"


def test_it_is_verified_in_little_memory(whole, tmp_path):
    words = ("verify", whole.layout, "--key", whole.key, "--offline")
    answer = measured(whole.elsewhere(tmp_path), *words)
    assert answer.json["verdict"] == "PASSED"
    assert answer.peak < most_memory(PROCESSORS)


def test_it_is_derived_again_in_little_memory(whole, tmp_path):
    answer = measured(whole.elsewhere(tmp_path), "reproduce", whole.layout, "--offline")
    assert answer.json["digest"] == whole.target["package"]["digest"]
    assert answer.json["differences"] == []
    assert answer.peak < most_memory(PROCESSORS)
