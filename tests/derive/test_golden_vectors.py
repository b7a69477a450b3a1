"""Golden vectors: the bytes of each version of each format, which never change.

``pytest --renew-golden`` writes them anew. A version that ever made a released package must come
out as before: what ``git diff`` shows then is a break of the format, unless it is a new vector.
"""

import hashlib
import json
import posixpath

import pytest

from mpbuild.base import image_paths
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.derive import image
from mpbuild.derive.layers.layer import Layer
from mpbuild.derive.layers.layer_plan import BYTECODE, DEBS, FILES, STORED, WHEELS, LayerPlan
from mpbuild.derive.package_index import package
from mpbuild.formats.python.pylock import PythonLock

DEMO, PLAIN = "demo-1.0-py3-none-any.whl", "plain-2.0-py3-none-any.whl"
BYTECODE_TAR = "bytecode.tar"
BASE, LIBRARY = "demo-base_1.0-1_amd64.deb", "libdemo1_1.0-1_amd64.deb"


def noise(size):
    """Bytes that don't compress and never change."""
    blocks = (hashlib.sha256(b"%d" % i).digest() for i in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def demo_wheel(make):
    """Every scheme, scripts, stored and deflated entries, names that need quoting."""
    data = "demo-1.0.data"
    files = {
        "demo/__init__.py": b"answer = 42\n" * 100,
        "demo/a, b.py": b"",
        "demo/ümlaut.txt": "ü\n".encode() * 40,
        "demo/noise.bin": noise(70_000),
        "demo/tool": b"#!/bin/sh\n",
        f"{data}/purelib/demo/pure.py": b"pure = True\n",
        f"{data}/platlib/demo/plat.py": b"plat = True\n",
        f"{data}/scripts/script": b"#!python\nprint('script')\n",
        f"{data}/scripts/shell": b"#!/bin/sh\necho shell\n",
        f"{data}/data/share/demo/text": b"text\n",
        f"{data}/headers/demo.h": b"#define DEMO 1\n",
    }
    points = "[console_scripts]\ndemo = demo:main\n[gui_scripts]\nshow = demo.gui:App.run\n"
    return make.wheel(
        files, entry_points=points, stored=["demo/noise.bin"], executable=["demo/tool"]
    )


def plain_wheel(make):
    """No file moves; one is a shared object."""
    native = make.elf(
        needed=["libdemo.so.1"], runpath="$ORIGIN", needs={"libdemo.so.1": ["DEMO_1"]}
    )
    return make.wheel(
        {"plain/__init__.py": b"", "plain/native.so": native}, name="plain", version="2.0"
    )


def base_deb(make):
    """Both sides of merged /usr, hard links in reverse order, privileges, certificates."""
    return make.deb(
        [
            ("./bin", None),
            ("./bin/z", b"linked", 0o4755),
            ("./usr", None),
            ("./usr/bin", None),
            ("./usr/bin/a", "=>./bin/z"),
            ("./usr/bin/python3.11", b"\x7fPYTHON", 0o755),
            ("./usr/share/ca-certificates/demo/b.crt", b"-----B-----\n"),
            ("./usr/share/ca-certificates/demo/a.crt", b"-----A-----"),
            ("./tmp", None, 0o755),
        ],
        name="demo-base",
    )


def library_deb(make):
    folder = "./lib/x86_64-linux-gnu"
    return make.deb(
        [
            (f"{folder}/libdemo.so.1.2", make.elf(soname="libdemo.so.1", defines=["DEMO_1"])),
            (f"{folder}/libdemo.so.1", "->libdemo.so.1.2"),
        ],
        name="libdemo1",
    )


def bytecode(make):
    """Bytecode with names of every form of tar header; its code does not matter."""
    start = bytes.fromhex("a70d0d0a01000000")
    folder = "opt/venv/lib/python3.11/site-packages"
    modules = {"demo/plain": 9, f"{'deep/' * 20}module": 512, "demo/ümlaut": 1300}
    paths = {
        f"{folder}/{posixpath.dirname(name)}/__pycache__/{posixpath.basename(name)}": size
        for name, size in modules.items()
    }
    return make.bytecode_tar({f"{p}.cpython-311.pyc": start + noise(n) for p, n in paths.items()})


MAKERS = {
    BYTECODE_TAR: bytecode,
    DEMO: demo_wheel,
    PLAIN: plain_wheel,
    BASE: base_deb,
    LIBRARY: library_deb,
}
LONG = f"opt/model/src/{'long-' * 30}name.py"
LAYERS = {
    "wheel-layer-1-schemes": (WHEELS, [DEMO], {"python": "3.11"}),
    "wheel-layer-1-verbatim": (WHEELS, [PLAIN], {"python": "3.13"}),
    "wheel-layer-1-grouped": (WHEELS, [PLAIN, DEMO], {"python": "3.11"}),
    "deb-layer-1-base": (DEBS, [BASE, LIBRARY], {"python": "3.11", "base": True}),
    "deb-layer-1-system": (DEBS, [LIBRARY], {"python": "3.11", "base": False}),
    "files-layer-1": (FILES, {LONG: b"x\n", "opt/model/src/ü.py": b"", "opt/run": b"#!"}, {}),
    "files-layer-1-over-4-mib": (FILES, {"opt/noise": noise((4 << 20) + 99), "opt/z": b"z"}, {}),
    "bytecode-layer-1": (BYTECODE, [BYTECODE_TAR], {"python": "3.11"}),
    "stored-layer-1": (STORED, {"opt/model/weights/w": noise(70_000)}, {}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_the_bytes_it_always_had(name, make, golden):
    rule, sources, parameters = LAYERS[name]
    inputs = (
        dict(sources)
        if isinstance(sources, dict)
        else {n: golden.input(n, lambda n=n: MAKERS[n](make)) for n in sources}
    )
    made = make.layer(rule, inputs, executable=("opt/run",), **parameters)
    vector = {
        "digest": made.layer.digest,
        "size": made.layer.size,
        "diff_id": made.layer.diff_id,
        "needs": Digest.of(made.needs_bytes),
        "paths": list(made.members()),
    }
    text = json.dumps(vector, indent=2, ensure_ascii=False) + "\n"
    golden.check(f"{name}.json", text.encode())


def test_a_layer_of_a_few_bytes_has_these(make, golden):
    """The whole blob, for a look in a hex editor when another vector changes."""
    golden.check("files-layer-1-small.tar.gz", make.file_layer({"a": b"a\n"}).blob)


def test_configuration_manifest_and_index_have_the_bytes_they_always_had(model, golden):
    facts = [
        (LayerPlan(rule=WHEELS, title="numpy 2.4.6", inputs={}), b"one"),
        (LayerPlan(rule=FILES, title="code", inputs={}), b"two"),
    ]
    layers = [
        (plan, Layer(Digest.of(data), len(data), Digest.of(b"plain " + data)))
        for plan, data in facts
    ]
    lock = PythonLock(
        environment="cpu",
        python="3.11",
        resolution=Digest.of(b"inputs"),
        resolver="uv 0.13.9",
        packages=(),
    )
    made = image.image(model, Accelerator.CPU, lock, layers)
    golden.check("image-1-config.json", made.config_bytes)
    golden.check("image-1-manifest.json", made.manifest_bytes)
    golden.check("package-1-index.json", package(model, [made.descriptor]).index_bytes)


def test_places_in_an_image_never_move():
    assert (
        image_paths.VENV,
        image_paths.SOURCES,
        image_paths.WEIGHTS,
        image_paths.SPEC,
        image_paths.ENTRY_POINT,
    ) == (
        "opt/venv",
        "opt/model/src",
        "opt/model/weights",
        "opt/model/spec.json",
        "opt/mpbuild/bin/mpbuild-run",
    )
