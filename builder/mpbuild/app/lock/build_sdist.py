"""Builds a wheel from a source distribution with its own backend (PEP 517), in the sandbox.

No code of a source distribution runs elsewhere, and no option turns the sandbox off. The
backend sees the base's Debian packages and its build requirements, which are locked and fetched
like all wheels, and no network.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import msgspec
from packaging.version import Version

from mpbuild.app.build.executors import SandboxedSteps, open_sandbox
from mpbuild.app.fetch.file_requests import deb_requests, wheel_requests
from mpbuild.app.lock.lock_files import LockEnvironment
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import (
    AnswerError,
    Finding,
    InputError,
    MpbuildError,
)
from mpbuild.derive import image_layers
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.effects.clock import SystemClock
from mpbuild.effects.host import processors
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.http.download import FileSink, download
from mpbuild.effects.installation import load_rule
from mpbuild.effects.python import sdists
from mpbuild.effects.python.index_views import IndexView
from mpbuild.effects.python.indexes import PythonIndex
from mpbuild.effects.python.sdists import SdistFile
from mpbuild.effects.python.uv import Uv
from mpbuild.effects.sandbox.bubblewrap import WITHOUT, BwrapCandidate
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import ActionResult, Output
from mpbuild.engine.graph import Graph, Ref
from mpbuild.engine.protocols import TaskObserver
from mpbuild.engine.rule import Hook, SourceData, SourceRule
from mpbuild.engine.scheduler import Scheduler
from mpbuild.formats.archive import gzip
from mpbuild.formats.debian.deblock import DebianLock
from mpbuild.formats.python import wheel_tags
from mpbuild.formats.python.pylock import PythonLock
from mpbuild.formats.python.sdist import SourceDistribution, read_sdist
from mpbuild.formats.python.wheel import read_wheel
from mpbuild.locks.python_inputs import inputs
from mpbuild.package.derived_layers import LayerDeriver, layer_name, layer_task
from mpbuild.resolve import python_lock

GAP_S = 3.0
"""The seconds between two builds: times in zip archives have a resolution of two."""

_ELSEWHERE = "or put a wheel that was built elsewhere into the folder that owns the package"
_HINT = (
    "the build sees the base's Debian packages and its build requirements, and no network; add"
    f" missing packages to the base, bound build requirements by constraints, {_ELSEWHERE}"
)


class SourceBuildEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """The environment that a wheel is built for.

    ``debian`` is its lock, whose base the backend runs on; ``view`` has the indexes of build
    requirements.
    """

    environment: LockEnvironment
    debian: DebianLock
    view: IndexView

    @property
    def python(self) -> str:
        """The Python version, such as "3.11"."""
        return self.environment.python.python

    def find(self, name: str) -> PythonIndex:
        """Returns the index with a name."""
        sources = self.view.sources
        owners = {owner.index.name: owner.index for owner in sources.owners}
        return owners.get(name, sources.default)


class WheelBuild(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel in the store, and findings about its build."""

    filename: str
    digest: Digest
    findings: tuple[Finding, ...]


class SdistBuilder:
    """Builds wheels, each twice with ``gap_s`` in between; reports progress to ``observer``."""

    def __init__(
        self,
        store: Store,
        *,
        uv: Uv,
        web: HttpClient,
        observer: TaskObserver,
        bwrap: Sequence[BwrapCandidate] | None = None,
        gap_s: float = GAP_S,
    ) -> None:
        self._store = store
        self._gap_s = gap_s
        self._uv = uv
        self._web = web
        self._observer = observer
        self._derivation = LayerDeriver(store)
        self._bwrap = bwrap
        self._steps = SandboxedSteps(store, self._derivation, bwrap)
        self._depot = FileSink(store.path / "partial", store.has, store.adopt)

    def build(self, source: SdistFile, ground: SourceBuildEnvironment) -> WheelBuild:
        """Builds the wheel of ``source`` twice and compares.

        Raises EnvironmentFailureError (sandbox-unavailable) if this machine has no sandbox,
        AnswerError (step-failed) with the end of the output if the backend fails or makes another
        wheel, and the errors of resolving and fetching. Each error names the package and the step.
        """
        gzip.prove()
        package = f"{source.name} {source.version}"
        with _step(package, "starting the sandbox"):
            open_sandbox(self._store, self._bwrap).probe()
        with _step(package, "fetching the source distribution"):
            sdists.fetch(source, into=self._depot, web=self._web)
            with self._store.mapped(source.sha256) as data:
                read = read_sdist(data, source.filename)
        with _step(package, "preparing the build requirements"):
            data_of = self._root(read, source, ground, read.requires)
        with _step(package, "querying the build backend for further requirements"):
            more = self._more(data_of)
        if more:
            with _step(package, "preparing the build backend's requirements"):
                data_of = self._root(read, source, ground, (*read.requires, *more))
        with _step(package, "building the wheel"):
            return self._wheel(source, ground, data_of)

    # ---- the environment to build in

    def _root(
        self,
        read: SourceDistribution,
        source: SdistFile,
        ground: SourceBuildEnvironment,
        requires: Sequence[str],
    ) -> "_Prepared":
        """Derives the layers of the base and of the build requirements."""
        locks = EnvironmentLocks(self._lock(requires, ground), _base(ground.debian))
        self._fetch(locks, ground)
        plans = image_layers.environment_layers(locks, ground.python)
        tasks = [layer_task(layer_name(plan), plan, _no_leaf) for plan in plans]
        engine = Scheduler(
            {"derive": self._derivation}, self._store, SystemClock(), self._observer, processors()
        )
        done = engine.run(Graph(tasks))
        data = SourceData(
            source=source.sha256,
            filename=source.filename,
            backend=read.backend,
            backend_path=read.backend_path,
            root=tuple(Ref(task.name, "layer") for task in tasks),
            python=ground.python,
        )
        return _Prepared(data, {name: one.result for name, one in done.items()})

    def _lock(self, requires: Sequence[str], ground: SourceBuildEnvironment) -> PythonLock:
        """The environment's constraints also apply to build requirements."""
        environment = ground.environment
        wanted = inputs(
            requires,
            python=ground.python,
            suite=environment.base.suite,
            constraints=environment.python.constraints,
        )
        return python_lock.lock(
            wanted, environment="build", view=ground.view, uv=self._uv, web=self._web
        )

    def _fetch(self, locks: EnvironmentLocks, ground: SourceBuildEnvironment) -> None:
        missing = {file.digest for file in locks.files if not self._store.has(file.digest)}
        requests = chain(
            wheel_requests(locks, missing, ground.find, self._web),
            deb_requests(locks, missing, ground.environment.base),
        )
        download(tuple(requests), into=self._depot, web=self._web)

    # ---- what runs

    def _more(self, prepared: "_Prepared") -> tuple[str, ...]:
        """The hook get_requires_for_build_wheel."""
        output = self._run("requires", prepared)["requires.json"]
        try:
            return msgspec.convert(json.loads(self._store.read(output.digest)), tuple[str, ...])
        except (ValueError, RecursionError) as error:
            raise AnswerError("the build backend did not return a list of requirements") from error

    def _wheel(
        self, source: SdistFile, ground: SourceBuildEnvironment, prepared: "_Prepared"
    ) -> WheelBuild:
        """The hook build_wheel, twice."""
        clock = SystemClock()
        started = clock.now()
        first = self._run("wheel", prepared)
        filename = self._check(first, source, ground)
        time.sleep(max(0.0, started + self._gap_s - clock.now()))
        again = self._run("wheel", prepared)
        same = [first[name].digest == again[name].digest for name in ("filename", "wheel")]
        findings = () if all(same) else (_not_reproduced(filename),)
        return WheelBuild(filename=filename, digest=first["wheel"].digest, findings=findings)

    def _run(self, hook: Hook, prepared: "_Prepared") -> Mapping[str, Output]:
        """Caches nothing: a build is compared with another one that really ran."""
        rule: SourceRule = load_rule("source")
        task = rule(hook, prepared.data)
        self._observer.started(task.name)
        result = self._steps.run(task.bind(prepared.results), task.timeout_ms)
        self._observer.finished(task.name, cached=False)
        return result.outputs

    def _check(
        self, outputs: Mapping[str, Output], source: SdistFile, ground: SourceBuildEnvironment
    ) -> str:
        """Returns the file name of a sound wheel of this package for this Python."""
        filename = self._store.read(outputs["filename"].digest).decode("utf-8", "replace")
        try:
            name = wheel_tags.WheelName.of(filename)
            with self._store.mapped(outputs["wheel"].digest) as data:
                wheel = read_wheel(data, filename)
        except InputError as error:
            raise AnswerError(f"the build backend made an invalid wheel: {error}") from error
        if (wheel.name, Version(wheel.version)) != (source.name, source.version):
            raise AnswerError(
                f"the build backend made {wheel.name} {wheel.version} instead: {filename}"
            )
        aim = python_lock.target(ground.environment.python)
        if wheel_tags.rank(name.tags, wheel_tags.supported(aim.python, aim.glibc)) is None:
            raise AnswerError(f"the wheel doesn't install on Python {aim.python}: {filename}")
        return filename


class _Prepared(msgspec.Struct, frozen=True):
    """The data for a backend, and the layers it runs on."""

    data: SourceData
    results: Mapping[str, ActionResult]


def _base(lock: DebianLock) -> DebianLock:
    """Only the base, so that a wheel does not depend on the first environment that needs it."""
    packages = tuple(package for package in lock.packages if package.base)
    return msgspec.structs.replace(lock, packages=packages)


def _no_leaf(path: str, leaf: Leaf) -> Digest:
    raise AssertionError(f"an environment has no leaves: {path}, {leaf}")


def _not_reproduced(filename: str) -> Finding:
    return Finding(
        Code.NOT_REPRODUCED,
        "a second build gave other bytes, so this wheel is not reproducible",
        filename,
        "keep the file, in git or in storage for large files: the lock pins its digest",
        "warning",
    )


@contextmanager
def _step(package: str, step: str) -> Iterator[None]:
    """Adds the package and the step to errors, in place of the command."""
    try:
        yield
    except MpbuildError as error:
        where = f"{package}: {step}"
        findings = [f._replace(where=where, hint=_hint(f)) for f in error.findings]
        raise type(error).collect(findings) from error


def _hint(finding: Finding) -> str:
    """Refuses hosts without a sandbox, which steps may accept."""
    if finding.code == Code.STEP_FAILED:
        return finding.hint or _HINT
    return finding.hint.replace(WITHOUT, _ELSEWHERE)
