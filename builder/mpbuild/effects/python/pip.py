"""Runs pip as a second resolver and reports what it would install.

It runs with a minimal environment, installs nothing and reads only metadata: beside the wheel if
the index serves it (PEP 658), else by ranges of the wheel. If the server supports neither, pip
downloads the whole wheel.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import Version

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError, MpbuildError
from mpbuild.base.redaction import redacted
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.uv import WheelPlatform
from mpbuild.formats.python import markers, wheel_tags

# Others, such as PIP_CONSTRAINT and PIP_FIND_LINKS, would change the resolution.
_PASSED = frozenset(
    {
        *("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "PIP_CACHE_DIR", "PIP_DEFAULT_TIMEOUT"),
        *("PIP_TIMEOUT", "PIP_RETRIES", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_TRUSTED_HOST"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("NETRC", "PIP_KEYRING_PROVIDER", "PIP_PROXY"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    }
)
# The imports of pip and pip-tools; pure Python, so that any interpreter can run them.
_MODULES = ("pip", "piptools", "build", "click", "packaging", "pyproject_hooks")
# pip evaluates markers for the running Python, whatever --python-version is, so that Python reports
# the lock's values. Only these differ between CPythons on linux/amd64.
_AS_TARGET = """\
import platform, runpy, sys
module, python, folders, *words = sys.argv[1:]
sys.path += folders.split("\\n")
platform.python_version = lambda: python
platform.python_version_tuple = lambda: tuple(python.split("."))
platform.release = platform.version = lambda: ""
sys.argv = [module, *words]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""

# Verbose output distinguishes a failing index from one without the package, at twice the cost.
_ALOUD = "-vvv"
_UNREACHABLE = re.compile(r"HTTP error|\b(401|403) Error|Could not fetch URL (?!.*: 404 )")
_OTHER_BYTES = "DO NOT MATCH THE HASHES"
_NO_EXTRA = re.compile(r"WARNING: (.* does not provide the extra .*)")


class PipPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package that pip would install: its wheel, and the requirements in the wheel's metadata.

    ``name`` and ``version`` are normalized; ``sha256`` is None if the index has none.
    """

    name: str
    version: str
    filename: str
    sha256: Digest | None
    yanked: bool = False
    requires: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    requires_python: str = ""


def resolve(
    requirements: Sequence[str],
    target: WheelPlatform,
    view: IndexView,
    environ: Mapping[str, str],
    *,
    constraints: Sequence[str] = (),
    dependencies: bool = True,
) -> tuple[PipPackage, ...]:
    """Returns what pip would install for ``requirements`` on ``target`` from ``view``.

    ``requirements`` and ``constraints`` are lines of pip's requirements files; their hashes select
    wheels. Raises InputError (lock-disagreement, content-mismatch) if pip finds no solution,
    EnvironmentFailureError (fetch-failed) if it cannot read an index.
    """
    if not requirements:
        return ()
    with tempfile.TemporaryDirectory(prefix="mpbuild-pip-") as folder:
        cwd = Path(folder)
        (cwd / "requirements.txt").write_text("\n".join(requirements), "utf-8")
        (cwd / "constraints.txt").write_text("\n".join(constraints), "utf-8")
        words = [*_words(target), *([] if dependencies else ["--no-deps"])]
        done = run("pip", words, python=target.python, view=view, environ=environ, cwd=cwd)
        refuse("pip", done)
        return _parse(cwd / "report.json")


def run(
    module: str,
    words: Sequence[str],
    *,
    python: str,
    view: IndexView,
    environ: Mapping[str, str],
    cwd: Path,
    interpreter: str = sys.executable,
) -> "subprocess.CompletedProcess[str]":
    """Runs ``module`` as if its Python were ``python`` ("3.11"), with all output on stdout.

    It sees the standard library, pip and pip-tools only. If it fails, it runs again with verbose
    output.
    """
    full = markers.environment(python)["python_full_version"]
    program = (interpreter, "-I", "-S", "-B", "-c", _AS_TARGET)
    command = [*program, module, full, "\n".join(_folders()), *words]
    environment = pip_environment(environ, view)
    done = _run(command, environment, cwd)
    return _run([*command, _ALOUD], environment, cwd) if done.returncode else done


def _run(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise EnvironmentFailureError(f"cannot start {command[0]}: {error}") from error


def pip_environment(environ: Mapping[str, str], view: IndexView) -> dict[str, str]:
    """The environment of pip: settings of ``environ``, and the indexes with their logins.

    pip takes packages from any index, so packages that ``view`` owns must be identified by hashes.
    """
    passed = {name: value for name, value in environ.items() if name in _PASSED}
    own = {"PIP_INDEX_URL": view.default.url} if view.default.url else {}
    if view.folder:
        own["PIP_EXTRA_INDEX_URL"] = view.folder.as_uri()
    fixed = {
        "LC_ALL": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COLOR": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
    }
    return passed | own | fixed


def refuse(tool: str, done: "subprocess.CompletedProcess[str]") -> None:
    """Raises our error for the output of ``tool`` unless it succeeded."""
    output = redacted(done.stdout)
    if done.returncode:
        _fail(tool, output)
    lacking = _NO_EXTRA.search(output)
    if lacking:
        raise InputError(f"{tool} warns: {lacking[1]}", code=Code.LOCK_DISAGREEMENT)


def _fail(tool: str, output: str) -> NoReturn:
    lines = (line.strip() for line in output.splitlines())
    failures = "\n".join(dict.fromkeys(line for line in lines if _UNREACHABLE.search(line)))
    if failures:
        raise EnvironmentFailureError(f"{tool} can't read an index:\n{failures[-2000:]}")
    reason = _reason(output)
    if _OTHER_BYTES in reason:
        raise InputError(
            f"{tool} finds a file that differs from the lock:\n{reason}", code=Code.CONTENT_MISMATCH
        )
    raise InputError(f"{tool} cannot reproduce this lock:\n{reason}", code=Code.LOCK_DISAGREEMENT)


def _reason(output: str) -> str:
    """The output from the first error on, without advice; of a traceback, the last line."""
    message, _, _ = output.partition("\nTraceback (most recent call last)")
    _, error, reason = message.partition("\nTo fix this")[0].partition("ERROR: ")
    if not error:
        reason = output.strip().rpartition("\n")[2]
    return reason.strip()[-2000:]


def _words(target: WheelPlatform) -> list[str]:
    words = "install --dry-run --ignore-installed --report report.json --target nowhere"
    platforms = [f"--platform={name}" for name in wheel_tags.platforms(target.glibc)]
    return [
        *words.split(),
        *("--only-binary", ":all:", "--no-require-hashes", "--use-feature=fast-deps"),
        *("--implementation", "cp", "--abi", f"cp{target.python.replace('.', '')}"),
        *("--python-version", target.python, *platforms),
        *("-r", "requirements.txt", "-c", "constraints.txt"),
    ]


def _folders() -> list[str]:
    """The folders from which pip, pip-tools and their dependencies are imported."""
    specs = {name: find_spec(name) for name in _MODULES}
    absent = [name for name, spec in specs.items() if spec is None or spec.origin is None]
    if absent:
        raise EnvironmentFailureError(
            f"the second resolver can't run without {', '.join(absent)}",
            hint="reinstall mpbuild: pip and pip-tools are among its dependencies",
        )
    origins = [Path(spec.origin) for spec in specs.values() if spec and spec.origin]
    return list(dict.fromkeys(str(origin.parent.parent) for origin in origins))


def _parse(report: Path) -> tuple[PipPackage, ...]:
    try:
        return tuple(_found(item) for item in json.loads(report.read_bytes())["install"])
    except MpbuildError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EnvironmentFailureError(f"pip wrote a malformed report: {error!r}") from error


def _found(item: Mapping[str, Any]) -> PipPackage:
    metadata, download = item["metadata"], item["download_info"]
    digits = download["archive_info"].get("hashes", {}).get("sha256")
    return PipPackage(
        name=canonicalize_name(metadata["name"]),
        version=str(Version(metadata["version"])),
        filename=unquote(urlsplit(download["url"]).path.rsplit("/", 1)[-1]),
        sha256=Digest.from_hex(digits) if digits else None,
        yanked=item.get("is_yanked", False),
        requires=tuple(metadata.get("requires_dist", ())),
        extras=tuple(sorted(map(canonicalize_name, metadata.get("provides_extra", ())))),
        requires_python=metadata.get("requires_python", ""),
    )
