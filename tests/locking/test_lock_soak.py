"""`mpbuild lock` killed at any moment, for long, and pages of indexes that are anything."""

import os
import random
import signal
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import MpbuildError
from mpbuild.effects.http.client import http_client
from mpbuild.effects.python.projects import Projects

pytestmark = pytest.mark.soak

KILLS = 150
CPU = '[accelerators.cpu]\ndependencies = ["fast"]'


def test_whenever_it_is_killed_locks_are_whole_and_the_next_goes_on(world):
    for version in ("1.0", "2.0"):
        world.default.add(f"fast-{version}-py3-none-any.whl", "Requires-Dist: shared")
        world.default.add(f"shared-{version}-py3-none-any.whl")
    world.model(CPU, '[environments.train]\ndependencies = ["shared"]')
    started = time.monotonic()
    world.lock()
    longest = 1.2 * (time.monotonic() - started)
    good = world.locks()
    moments = random.Random(1)
    for _ in range(KILLS):
        for path in good:
            path.unlink(missing_ok=True)
        with world.start("lock", "--upgrade") as process:
            time.sleep(moments.uniform(0, longest))
            os.killpg(process.pid, signal.SIGKILL)
        assert world.locks().items() <= good.items()
    world.lock()
    assert world.locks() == good


PIECES = st.sampled_from(
    [
        *("<a", " href=", '"', "'", ">", "</a>", "#sha256=", "a-1-py3-none-any.whl", "../" * 9),
        *("data-yanked", "data-core-metadata=", "{", "}", "[", "]", ":", ",", '"files"', '"url"'),
        *('"filename"', '"hashes"', '"sha256"', "0" * 64, "null", "1e999", "\0", "\ud7ff", "&#0;"),
        *('"upload-time"', '"2026-01-01T00:00:00Z"', "<base href='//x'>", "javascript:", "\n"),
    ]
)


@settings(max_examples=20_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(PIECES, max_size=30).map("".join))
def test_any_page_gives_files_or_our_error(world, text):
    folder = world.default.folder / "a"
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text(text, "utf-8", "surrogatepass")
    try:
        files = Projects(http_client({})).files(world.default.index, "a")
    except MpbuildError:
        return
    for file in files:
        assert "/" not in file.filename
        assert file.sha256 is None or len(file.sha256.hex) == 64
