"""uv, the resolver: run with nothing of the user's but what it needs, every warning an error."""

import functools
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError, MpbuildError
from mpbuild.base.redaction import redacted
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.indexes import PythonIndex

# Everything else, UV_CONSTRAINT and its kind among them, would change what is resolved.
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

_ONLY_SOURCE = re.compile(r"Wheels are required for `([^`]+)`")
_UNREACHABLE = re.compile(r"could not be queried|network was disabled|lack of valid authentication")
_BY_ADDRESS = re.compile(r"package `([^`]+)`\n +cause: Package `([^`]+)` was included as a URL")
_INDEX_URL = re.compile(r"^--index-url (\S+)$", re.MULTILINE)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")

_ADVICE = {
    "missing an upload date": "the index dates no files: say so, indexes.default.dated = false",
    "is yanked": "`mpbuild lock --upgrade=NAME` takes another release in its place",
    "does not have an extra": "the extras that a package has are in its metadata: correct the name",
}

WARNING = Code.RESOLVER_WARNING

NO_WHEEL = (
    "only wheels are installed: choose another version, or let an index with a folder own the"
    " package and build it (`build = true`)"
)

Pin = tuple[str, str]


class WheelCandidate(msgspec.Struct, frozen=True):
    """A wheel that could serve, where it is today, and what the index says of it."""

    filename: str
    url: str
    sha256: Digest | None
    size: int | None


class ResolvedPackage(msgspec.Struct, frozen=True):
    """A package at the version uv chose, with every wheel that fits the platform."""

    name: str
    version: str
    wheels: tuple[WheelCandidate, ...]


class WheelPlatform(msgspec.Struct, frozen=True):
    """What wheels must run on: a Python ("3.11") and a glibc (2, 36), on linux/amd64."""

    python: str
    glibc: tuple[int, int]


class Uv:
    """The uv that came with mpbuild, and the process environment to take settings from."""

    def __init__(self, binary: str, environ: Mapping[str, str]) -> None:
        self.binary = binary
        self.environ = environ

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> "Uv":
        """The binary of the installed ``uv`` wheel.

        Raises EnvironmentFailureError where there is none.
        """
        try:
            import uv

            return cls(uv.find_uv_bin(), environ)
        except (ImportError, OSError) as error:
            raise EnvironmentFailureError(
                "the resolver uv is not installed",
                hint="install mpbuild again: uv is one of its dependencies",
            ) from error

    @functools.cached_property
    def version(self) -> str:
        """``"uv"`` and the version."""
        run = self._run(["--version"], "", IndexView(), Path("/"))
        return " ".join(run.stdout.split()[:2])

    @functools.cached_property
    def own_index(self) -> str:
        """The address of the index that uv takes where none is named; no network is asked."""
        words = "pip compile --offline --no-header --color never --emit-index-url -"
        run = self._run([*words.split(), "-p", sys.executable], "", IndexView(), Path("/"))
        found = _INDEX_URL.search(run.stdout)
        if not found:
            raise EnvironmentFailureError(
                f"uv doesn't say which index it takes: {_told(run.stderr)}"
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
        """Resolve ``requirements`` to wheels; versions in ``preferences`` stay where they can.

        ``overrides`` replace what packages ask for. Raises InputError (spec-invalid) where there
        is no solution and (resolver-warning) where uv warns of anything, EnvironmentFailureError
        (fetch-failed) where an index can't be read.
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
        if run.returncode:
            _fail(run, view.default)
        _refuse_warnings(run.stderr)
        return _parse(run.stdout)

    def locate(self, pins: Iterable[Pin], python: str, index: PythonIndex) -> dict[Digest, str]:
        """Where the wheels of exactly these versions are today: sha256 to address.

        Addresses are for use now and never written. They carry the index's login where they are
        on its host. Raises EnvironmentFailureError (fetch-failed) where the index no longer has a
        version.
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
                f"uv can't say where the locked wheels are: {_told(run.stderr)}",
                hint="if a release was withdrawn, `mpbuild lock` finds another",
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
            raise EnvironmentFailureError(f"uv does not start: {error}") from error


def _environment(environ: Mapping[str, str], view: IndexView) -> dict[str, str]:
    """Addresses go in here and not among the words, which every user of a machine can see."""
    passed = {name: value for name, value in environ.items() if name in _PASSED}
    if "SSL_CERT_FILE" not in passed and environ.get("REQUESTS_CA_BUNDLE"):
        passed["SSL_CERT_FILE"] = environ["REQUESTS_CA_BUNDLE"]
    own = {"UV_DEFAULT_INDEX": view.default.url} if view.default.url else {}
    if view.folder:
        own["UV_INDEX"] = view.folder.as_uri()
    return passed | own | {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}


def _existing(pins: Iterable[Pin]) -> str:
    """The least that uv takes for an existing lock."""
    packages = [f'[[packages]]\nname = "{name}"\nversion = "{version}"' for name, version in pins]
    head = 'lock-version = "1.0"\ncreated-by = "mpbuild"'
    return "\n".join([head, *(packages or ["packages = []"]), ""])


def _fail(run: "subprocess.CompletedProcess[str]", index: PythonIndex) -> NoReturn:
    said = _told(run.stderr)
    _refuse_address(said)
    if "No solution found" not in said or _UNREACHABLE.search(said):
        at = f" at {redacted(index.url)}" if index.url else ""
        raise EnvironmentFailureError(f"uv could not resolve with the index{at}:\n{said}")
    sources = list(dict.fromkeys(_ONLY_SOURCE.findall(said)))
    if sources:
        lines = [line for line in said.split("\n") if not _ONLY_SOURCE.search(line)]
        names = " and ".join(sources) + (" has" if len(sources) == 1 else " have")
        reason = "\n".join(lines).strip()
        raise InputError(f"{names} no wheel for this Python and platform:\n{reason}", hint=NO_WHEEL)
    raise InputError(f"the dependencies can't be resolved:\n{said}", hint=_advice(said))


def _refuse_address(said: str) -> None:
    found = _BY_ADDRESS.search(said)
    if found:
        raise InputError(
            f"{found[1]} asks for {found[2]} by an address, and not for one of an index",
            hint=f"override it: ask for {found[2]} by versions in environment.overrides",
        )


def _refuse_warnings(stderr: str) -> None:
    warnings = [line for line in _told(stderr).split("\n") if line.startswith("warning: ")]
    if not warnings:
        return
    told = "; ".join(warning.removeprefix("warning: ") for warning in warnings)
    raise InputError(
        f"uv warns, so the lock would not be what was asked for: {told}",
        hint=_advice(told),
        code=WARNING,
    )


def _advice(told: str) -> str:
    return next((hint for words, hint in _ADVICE.items() if words in told), "")


def _told(stderr: str) -> str:
    """What uv says, without logins and without advice to look for packages in every index."""
    paragraphs = redacted(_ANSI.sub("", stderr)).strip().split("\n\n")
    kept = "\n\n".join(text for text in paragraphs if "--index-strategy" not in text)
    lines = kept.split("\n")
    return "\n".join(line for line in lines if not line.startswith("Resolved "))[-4000:]


def _parse(text: str) -> tuple[ResolvedPackage, ...]:
    try:
        packages = tomllib.loads(text).get("packages", [])
        return tuple(_resolved(package) for package in packages)
    except MpbuildError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvironmentFailureError(
            f"this uv gives a lock that mpbuild can't read: {error!r}"
        ) from error


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
