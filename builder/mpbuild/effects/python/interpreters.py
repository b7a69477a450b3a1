"""Finds the Pythons of this machine."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from mpbuild.base.errors import EnvironmentFailureError

# uv finds the Pythons that it installed by UV_PYTHON_INSTALL_DIR and XDG_DATA_HOME.
_PASSED = ("PATH", "HOME", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR")


def find(python: str, uv: str, environ: Mapping[str, str]) -> str | None:
    """Returns a CPython of the minor version ``python`` ("3.11") on linux/amd64, or None.

    That is the running one if it fits, else the first that ``uv``, the binary, finds.
    """
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    words = "python list --no-config --only-installed --no-python-downloads --output-format json"
    passed = {name: environ[name] for name in _PASSED if name in environ}
    try:
        run = subprocess.run(
            [uv, *words.split(), python], env=passed, capture_output=True, check=True, cwd="/"
        )
        known = json.loads(run.stdout)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise EnvironmentFailureError(
            f"uv can't list the Pythons of this machine: {error}"
        ) from error
    return next((str(found["path"]) for found in known if _fits(found)), None)


def _fits(found: Mapping[str, Any]) -> bool:
    platform = tuple(found[key] for key in ("implementation", "variant", "os", "arch"))
    return platform == ("cpython", "default", "linux", "x86_64")
