"""The example, built and signed, for other people's tools."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest


class Signed(NamedTuple):
    digest: str
    layout: Path
    signed_layout: Path
    public_key: Path


@pytest.fixture(scope="session")
def package(checkout, tmp_path_factory):
    """The example's package as a layout without and one with a signed provenance."""
    folder = tmp_path_factory.mktemp("package")
    environ = os.environ | {"MPBUILD_STORE": str(folder / "store"), "XDG_STATE_HOME": str(folder)}

    def mpbuild(*words):
        command = [Path(sys.executable).with_name("mpbuild"), "-C", checkout, "--format", "json"]
        done = subprocess.run([*command, *words], env=environ, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    target = "//examples/digits"
    mpbuild("keygen", folder / "key")
    built = mpbuild("build", target, "--output", folder / "layout")
    sign = ("--sign", "--key", folder / "key.key")
    mpbuild("build", target, *sign, "--output", folder / "signed")
    digest = built["targets"][0]["package"]["digest"]
    return Signed(digest, folder / "layout", folder / "signed", folder / "key.pub")
