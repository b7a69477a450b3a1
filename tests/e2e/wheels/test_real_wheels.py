"""Published wheels of every make: the layer of each holds what uv installs of it."""

import os
import tomllib
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.client import http_client
from mpbuild.effects.http.download import FileSink, download
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.python.indexes import find_index
from mpbuild.effects.python.uv import Uv

TABLE = tomllib.loads((Path(__file__).parent / "real_wheels.toml").read_text())["wheels"]

pytestmark = pytest.mark.network


@pytest.fixture(scope="session")
def published(run_folder):
    """The folder of the wheels, fetched by whichever worker comes first."""
    folder = run_folder / "published wheels"
    folder.mkdir(exist_ok=True)
    names = {Digest.from_hex(row["sha256"]): row["file"] for row in TABLE}
    pins = [parse_wheel_filename(name)[:2] for name in names.values()]
    try:
        found = Uv.find(os.environ).locate(pins, "3.11", find_index(os.environ))
    except EnvironmentFailureError as error:
        pytest.skip(f"no package index that has these wheels is within reach: {error}")
    download(
        [
            FileRequest(
                name=row["file"],
                urls=tuple(found[d] for d in (Digest.from_hex(row["sha256"]),) if d in found),
                digest=Digest.from_hex(row["sha256"]),
                size=row["size"],
            )
            for row in TABLE
        ],
        into=FileSink(
            folder / "partial",
            lambda digest: (folder / names[digest]).exists(),
            lambda path, digest: path.rename(folder / names[digest]),
        ),
        web=http_client(os.environ),
    )
    return folder


@pytest.mark.parametrize("how", ["prefix", "target"])
@pytest.mark.parametrize(
    "name", [row["file"] for row in TABLE], ids=[row["shows"] for row in TABLE]
)
def test_the_layer_of_a_published_wheel_is_what_uv_installs(published, same_as_uv, name, how):
    same_as_uv(published / name, how)


def test_together_they_show_what_wheels_can_be():
    """The table names each once, and they are few enough to be fetched in every run."""
    assert len({row["file"] for row in TABLE}) == len(TABLE) >= 30
    assert sum(row["size"] for row in TABLE) < 150 << 20
