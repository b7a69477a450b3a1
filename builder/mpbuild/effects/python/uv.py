"""Runs uv, the resolver, with a minimal environment; treats every warning as an error."""

import functools
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, MpbuildError
from mpbuild.base.redaction import redacted
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.indexes import PythonIndex
from mpbuild.effects.python.resolution_failure import (
    FailureKind,
    ResolutionError,
    ResolutionFailure,
    explanation,
    read_failure,
    read_warnings,
)

# Others, such as UV_CONSTRAINT, would change the resolution.
_PASSED = frozenset(
    {
        *("PATH", "HOME", "XDG_CACHE_HOME", "UV_CACHE_DIR", "UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "UV_SYSTEM_CERTS"),
        *("NETRC", "UV_KEYRING_PROVIDER"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    }
)
_NEWEST = 40  # uv names targets up to manylinux_2_40

_INDEX_URL = re.compile(r"^--index-url (\S+)$", re.MULTILINE)

_ADVICE = {
    "missing an upload date": "the index has no upload dates: set indexes.default.dated = false",
    "is yanked": "`mpbuild lock --upgrade=NAME` selects another release",
    "does not have an extra": "correct the name of the extra: the package's metadata lists them",
}

NO_WHEEL = (
    "only wheels are installed: choose another version, or let an index with a folder own the"
    " package and build it (`build = true`)"
)

Pin = tuple[str, str]


class WheelCandidate(msgspec.Struct, frozen=True):
    """A wheel that fits, its current URL, and its digest and size if the index has them."""

    filename: str
    url: str
    sha256: Digest | None
    size: int | None


class ResolvedPackage(msgspec.Struct, frozen=True):
    """A package at the version that uv chose, with every wheel that fits the platform."""

    name: str
    version: str
    wheels: tuple[WheelCandidate, ...]


class WheelPlatform(msgspec.Struct, frozen=True):
    """The platform of wheels: a Python ("3.11") and a glibc (2, 36), on linux/amd64."""

    python: str
    glibc: tuple[int, int]


class Uv:
    """The uv that is installed with mpbuild, and the process environment with its settings."""

    def __init__(self, binary: str, environ: Mapping[str, str]) -> None:
        self.binary = binary
        self.environ = environ

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> "Uv":
        """Finds the binary of the installed ``uv`` wheel; raises EnvironmentFailureError."""
        try:
            import uv

            return cls(uv.find_uv_bin(), environ)
        except (ImportError, OSError) as error:
            raise EnvironmentFailureError(
                "the resolver uv is not installed",
                hint="reinstall mpbuild: uv is one of its dependencies",
            ) from error

    @functools.cached_property
    def version(self) -> str:
        """``"uv"`` and the version."""
        run = self._run(["--version"], "", IndexView(), Path("/"))
        return " ".join(run.stdout.split()[:2])

    @functools.cached_property
    def own_index(self) -> str:
        """The URL of uv's default index; needs no network."""
        words = "pip compile --offline --no-header --color never --emit-index-url -"
        run = self._run([*words.split(), "-p", sys.executable], "", IndexView(), Path("/"))
        found = _INDEX_URL.search(run.stdout)
        if not found:
            raise EnvironmentFailureError(
                f"uv does not print its default index: {explanation(run.stderr)}"
            )
        return found[1]

    def compile(
        self,
        requirements: Sequence[str],
        target: WheelPlatform,
        view: IndexView,
        *,
        constraints: Sequence[str] = (),
        overrides: Sequence[str] = (),
        preferences: Iterable[Pin] = (),
    ) -> tuple[ResolvedPackage, ...]:
        """Resolves ``requirements`` to wheels; keeps versions in ``preferences`` if possible.

        ``overrides`` replace requirements of packages. Raises ResolutionError (spec-invalid) if
        there is no solution and (resolver-warning) if uv warns, EnvironmentFailureError
        (fetch-failed) if an index cannot be read.
        """
        if not requirements:
            return ()
        options = ["--exclude-newer", view.released_before] if view.released_before else []
        for name in sorted(view.owned) if options else ():
            options += ["--exclude-newer-package", f"{name}=false"]
        with tempfile.TemporaryDirectory() as folder:
            cwd = Path(folder)
            for option, bounds in (("--constraints", constraints), ("--overrides", overrides)):
                if bounds:
                    (cwd / f"{option[2:]}.txt").write_text("\n".join(bounds), "utf-8")
                    options += [option, f"{option[2:]}.txt"]
            (cwd / "pylock.toml").write_text(_existing(preferences), "utf-8")
            options += ["-o", "pylock.toml"]
            run = self._compile(requirements, target, view, options, cwd)
        failure = read_failure(run.stderr) if run.returncode else read_warnings(run.stderr)
        if failure:
            raise _error(failure, view.default)
        return _parse(run.stdout)

    def locate(self, pins: Iterable[Pin], python: str, index: PythonIndex) -> dict[Digest, str]:
        """Returns the current URLs of the wheels of exactly these versions, by sha256.

        URLs are never written to locks. They contain the index's login if they are on its host.
        Raises EnvironmentFailureError (fetch-failed) if the index no longer has a version.
        """
        exact = [f"{name}=={version}" for name, version in pins]
        if not exact:
            return {}
        with tempfile.TemporaryDirectory() as folder:
            target = WheelPlatform(python, (2, _NEWEST))
            view = IndexView.of(index)
            run = self._compile(exact, target, view, ["--no-deps"], Path(folder))
        if run.returncode:
            raise EnvironmentFailureError(
                f"uv cannot find the locked wheels: {explanation(run.stderr)}",
                hint="if a release was withdrawn, `mpbuild lock` selects another",
            )
        wheels = [wheel for package in _parse(run.stdout) for wheel in package.wheels]
        return {wheel.sha256: index.with_login(wheel.url) for wheel in wheels if wheel.sha256}

    def _compile(
        self,
        requirements: Sequence[str],
        target: WheelPlatform,
        view: IndexView,
        options: Sequence[str],
        cwd: Path,
    ) -> "subprocess.CompletedProcess[str]":
        platform = f"x86_64-manylinux_2_{min(target.glibc[1], _NEWEST)}"
        words = "pip compile --no-header --no-progress --color never --format pylock.toml"
        return self._run(
            [
                *words.split(),
                *("--only-binary", ":all:", "-p", sys.executable),
                *("--python-version", target.python, "--python-platform", platform),
                *options,
                "-",
            ],
            "\n".join(requirements),
            view,
            cwd,
        )

    def _run(
        self, words: Sequence[str], stdin: str, view: IndexView, cwd: Path
    ) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                [self.binary, *words],
                input=stdin,
                cwd=cwd,
                env=_environment(self.environ, view),
                capture_output=True,
                check=False,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise EnvironmentFailureError(f"cannot start uv: {error}") from error


def _environment(environ: Mapping[str, str], view: IndexView) -> dict[str, str]:
    """URLs may hold logins, so they are not on the command line, which other users can see."""
    passed = {name: value for name, value in environ.items() if name in _PASSED}
    if "SSL_CERT_FILE" not in passed and environ.get("REQUESTS_CA_BUNDLE"):
        passed["SSL_CERT_FILE"] = environ["REQUESTS_CA_BUNDLE"]
    own = {"UV_DEFAULT_INDEX": view.default.url} if view.default.url else {}
    if view.folder:
        own["UV_INDEX"] = view.folder.as_uri()
    return passed | own | {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}


def _existing(pins: Iterable[Pin]) -> str:
    """The smallest existing lock that uv accepts."""
    packages = [f'[[packages]]\nname = "{name}"\nversion = "{version}"' for name, version in pins]
    head = 'lock-version = "1.0"\ncreated-by = "mpbuild"'
    return "\n".join([head, *(packages or ["packages = []"]), ""])


def _error(failure: ResolutionFailure, index: PythonIndex) -> MpbuildError:
    """The error that reports a failure to people."""
    text = failure.explanation
    match failure.kind:
        case FailureKind.UNREACHABLE:
            at = f" at {redacted(index.url)}" if index.url else ""
            return EnvironmentFailureError(f"uv could not resolve with the index{at}:\n{text}")
        case FailureKind.DIRECT_URL:
            package, dependency = failure.packages
            return ResolutionError(
                f"{package} requires {dependency} by URL, not by version",
                hint=f"override it: require versions of {dependency} in environment.overrides",
                failure=failure,
            )
        case FailureKind.NO_WHEEL:
            names = " and ".join(failure.packages)
            verb = "has" if len(failure.packages) == 1 else "have"
            message = f"{names} {verb} no wheel for this Python and platform:\n{text}"
            return ResolutionError(message, hint=NO_WHEEL, failure=failure)
        case FailureKind.WARNING:
            return ResolutionError(
                f"uv warns that the lock would differ from the spec: {text}",
                hint=_advice(text),
                code=Code.RESOLVER_WARNING,
                failure=failure,
            )
        case FailureKind.CONFLICT:
            return ResolutionError(
                f"no versions satisfy the requirements:\n{text}",
                hint=_advice(text),
                failure=failure,
            )


def _advice(text: str) -> str:
    return next((hint for words, hint in _ADVICE.items() if words in text), "")


def _parse(text: str) -> tuple[ResolvedPackage, ...]:
    try:
        packages = tomllib.loads(text).get("packages", [])
        return tuple(_resolved(package) for package in packages)
    except MpbuildError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvironmentFailureError(f"uv printed a malformed lock: {error!r}") from error


def _resolved(package: Mapping[str, Any]) -> ResolvedPackage:
    wheels = tuple(_candidate(wheel) for wheel in package.get("wheels", ()))
    return ResolvedPackage(package["name"], package["version"], wheels)


def _candidate(wheel: Mapping[str, Any]) -> WheelCandidate:
    url = wheel["url"]
    filename = wheel.get("name") or unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    digits = wheel["hashes"].get("sha256")
    return WheelCandidate(
        filename, url, Digest.from_hex(digits) if digits else None, wheel.get("size")
    )
