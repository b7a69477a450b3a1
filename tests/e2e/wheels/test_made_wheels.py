"""What published wheels seldom show, in wheels made for it: mpbuild installs what uv installs."""

import pytest

from tests.making.wheels import write_wheel

INFO = "Made_Up-1.0.dist-info"
DATA = "Made_Up-1.0.data"
NAME = "Made_Up-1.0-py3-none-any.whl"
CODE = b"answer = 42\n" * 40


def write(path, files, *, scripts="", line="\r\n", wide=False, **options):
    """A wheel of ``files`` at ``path``; how its zip and its RECORD are written is as given."""
    data = write_wheel(path.name, files, entry_points=scripts, line_end=line, zip64=wide, **options)
    path.write_bytes(data)
    return path


SCHEMES = {
    "root.py": CODE,
    f"{DATA}/purelib/made/pure.py": CODE,
    f"{DATA}/platlib/made/plat.py": CODE,
    f"{DATA}/data/share/made/text": b"text\n",
    f"{DATA}/data/bin/no-script": b"#!python\n",
    f"{DATA}/headers/made.h": b"#define MADE\n",
    f"{DATA}/scripts/latin": b"#!python\n# \xe4\n",
    f"{DATA}/scripts/window": b"#!pythonw -O\nprint()\n",
    f"{DATA}/scripts/shell": b"#!/bin/sh\n",
    f"{DATA}/scripts/empty": b"",
    f"{DATA}/scripts/run": b"#!python\nold\n",
    f"{DATA}/scripts/run-script.py": b"#!python\nold\n",
}
POINTS = "[console_scripts]\nrun = made:App.run [extra]\n[gui_scripts]\nshow = made.gui:show\n"
LONG = {
    f"made/{'n' * 251}.py": CODE,
    f"made/{'/'.join(['folder' * 10] * 12)}/x.py": CODE,
    "made/süß/日本語.txt": CODE,
    f"made/{'ü' * 120}.txt": CODE,
}
ODD = {'made/a, "b".py': CODE, "made/ c .py": CODE, "made/#+~[].txt": b"", "made/.hidden": b""}


WHEELS = {
    "every scheme and both kinds of entry points": lambda path: write(
        path, SCHEMES, scripts=POINTS
    ),
    "schemes in an archive of stored members": lambda path: write(path, SCHEMES, stored=SCHEMES),
    "long names, long paths, names beyond ASCII": lambda path: write(path, LONG),
    "names that RECORD must quote": lambda path: write(path, ODD, line="\n"),
    "no sizes in RECORD": lambda path: write(path, SCHEMES, sizes=False),
    "ZIP64 records with small sizes": lambda path: write(path, SCHEMES | LONG, wide=True),
    "stored and DEFLATEd members, empty ones among them": lambda path: write(
        path,
        {f"made/{n}.py": CODE[: n * 7] for n in range(40)},
        stored=[f"made/{n}.py" for n in range(0, 40, 3)],
    ),
}


@pytest.mark.parametrize("how", ["prefix", "target"])
@pytest.mark.parametrize("what", WHEELS)
def test_the_layer_of_a_wheel_made_up_is_what_uv_installs(same_as_uv, tmp_path, what, how):
    same_as_uv(WHEELS[what](tmp_path / NAME), how)


@pytest.mark.parametrize("how", ["prefix", "target"])
def test_a_wheel_of_thousands_of_tiny_files_is_what_uv_installs(same_as_uv, tmp_path, how):
    files = {f"made/d{n % 97}/f{n}.py": b"%d" % n for n in range(2_000)}
    same_as_uv(write(tmp_path / NAME, files, stored=list(files)[::2]), how)
