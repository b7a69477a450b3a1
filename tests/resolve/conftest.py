"""A package index in a folder, and a uv that knows no other."""

from pathlib import Path

import pytest

from mpbuild.effects.http.client import HttpClient, http_client
from mpbuild.effects.python.uv import Uv


@pytest.fixture
def wheels(make_index):
    return make_index("default")


@pytest.fixture
def uv(tmp_path: Path) -> Uv:
    return Uv.find({"HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache")})


@pytest.fixture
def web() -> HttpClient:
    return http_client({})
