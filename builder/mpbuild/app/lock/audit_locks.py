"""Audits the locks of a target: checks before fetching that what they name fits together.

Reads wheels in the store completely, and parts of others by range requests. Fetches no wheel.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import msgspec

from mpbuild.app.fetch.file_requests import deb_requests, wheel_requests
from mpbuild.app.lock.index_sources import open_index
from mpbuild.app.lock.lock_files import LockEnvironment, environments
from mpbuild.app.workspace.workspace import Target
from mpbuild.audit import wheel_facts as kept
from mpbuild.audit.acceptance import left, stale
from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.audit.checks import observations
from mpbuild.audit.read_wheel_facts import ReadLimits, WholeWheel, read_facts
from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import image_layers
from mpbuild.derive.accelerators import never_loaded, supplied_by_host
from mpbuild.derive.elf_needs import ElfNeeds, read_needs
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.derive.layers.layer_plan import DEBS, LayerPlan, Leaf
from mpbuild.effects.http.client import http_client
from mpbuild.effects.http.download import FileSink, download
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.http.ranges import Meter, RangedFile
from mpbuild.effects.store.corruption import corrupt
from mpbuild.effects.store.store import Store
from mpbuild.effects.threads import at_once
from mpbuild.formats.python.pylock import PythonPackage
from mpbuild.package.derived_layers import LayerDeriver, layer_task

LIMITS = ReadLimits(objects=128 << 10, modules=24 << 10)
"""The bytes of a wheel that are read by range beyond its directory and metadata."""

_AT_ONCE = 8


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of an audit, the number of wheels, and the bytes that were read by range.

    Without findings of severity ``error`` the locks are sound as far as they were read.
    """

    findings: tuple[Finding, ...]
    wheels: int
    bytes: int
    requests: int

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return all(finding.severity != "error" for finding in self.findings)


def audit(
    target: Target,
    locks: Mapping[str, EnvironmentLocks],
    *,
    store: Store,
    accelerators: Sequence[Accelerator] | None = None,
) -> AuditReport:
    """Audits the locks of ``accelerators``, or of all environments of ``target``.

    ``locks``, by environment, match the spec. Fetches Debian packages that the store lacks. Raises
    EnvironmentFailureError if something is not available, such as ranges of a wheel.
    """
    wanted = [e for e in environments(target) if e.concerns(accelerators or ())]
    reader = _Reader(target, store)
    facts = reader.facts([locks[one.name] for one in wanted])
    findings: list[Finding] = []
    subjects: list[AuditedEnvironment] = []
    for one in wanted:
        unreadable = list(_unreadable(one, locks[one.name], facts))
        findings += unreadable
        if not unreadable:
            debian = reader.debian(one, locks[one.name])
            subjects.append(_subject(target, one, locks[one.name], facts, debian))
    accepted = target.model.environment.accepted
    found = list(observations(subjects))
    remaining = left(found, accepted)
    if accelerators is None and not findings:
        remaining += stale(found, accepted, target.file, _undecided(subjects))
    return AuditReport(
        findings=(*findings, *(one.finding for one in _distinct(remaining))),
        wheels=len(facts),
        bytes=reader.meter.bytes,
        requests=reader.meter.requests,
    )


class _Reader:
    """Collects facts of wheels and needs of Debian packages, from the store or from servers."""

    def __init__(self, target: Target, store: Store) -> None:
        self._target = target
        self._store = store
        self._web = http_client(os.environ)
        self.meter = Meter()

    def facts(self, locks: Sequence[EnvironmentLocks]) -> dict[Digest, WheelFacts | InputError]:
        """The facts of every wheel, or the error that prevents them."""
        packages = {p.wheel.sha256: p for lock in locks for p in lock.python.packages}
        with at_once(_AT_ONCE) as pool:
            known = dict(zip(packages, pool.map(self._known, packages.values()), strict=True))
            missing = {digest for digest, facts in known.items() if facts is None}
            requests = {r.digest: r for r in self._requests(locks, missing)}
            ranged = dict(zip(requests, pool.map(self._ranged, requests.values()), strict=True))
        return {digest: facts for digest, facts in {**known, **ranged}.items() if facts}

    def _requests(
        self, locks: Sequence[EnvironmentLocks], missing: set[Digest]
    ) -> Iterator[FileRequest]:
        find = partial(open_index, self._target.workspace)
        for lock in locks:
            yield from wheel_requests(lock, missing, find, self._web)

    def _known(self, package: PythonPackage) -> WheelFacts | InputError | None:
        """Facts that need no request."""
        wheel = package.wheel.sha256
        whole = self._store.has(wheel)
        facts = self._kept(kept.key(wheel, whole=whole))
        return facts or (self._whole(wheel) if whole else None)

    def _whole(self, wheel: Digest) -> WheelFacts | InputError:
        with self._store.mapped(wheel) as data:
            if Digest.of(data) != wheel:
                return corrupt(wheel)
            try:
                facts = read_facts(WholeWheel(data), ReadLimits())
            except InputError as error:
                return error
        return self._keep(wheel, facts)

    def _ranged(self, request: FileRequest) -> WheelFacts | InputError:
        source = RangedFile(request, self._web, self.meter)
        try:
            return self._keep(request.digest, read_facts(source, LIMITS))
        except InputError as error:
            return error

    def _kept(self, key: Digest) -> WheelFacts | None:
        data = self._store.fact(key)
        try:
            return kept.read(data) if data is not None else None
        except InputError:
            return None

    def _keep(self, wheel: Digest, facts: WheelFacts) -> WheelFacts:
        self._store.keep_fact(kept.key(wheel, whole=facts.whole), kept.encode(facts))
        return facts

    def debian(self, environment: LockEnvironment, lock: EnvironmentLocks) -> tuple[ElfNeeds, ...]:
        """The needs of the layers of Debian packages, which a build reuses."""
        missing = {p.sha256 for p in lock.debian.packages if not self._store.has(p.sha256)}
        download(
            tuple(deb_requests(lock, missing, environment.base)),
            into=FileSink(self._store.path / "partial", self._store.has, self._store.adopt),
            web=self._web,
        )
        plans = image_layers.environment_layers(lock, environment.python.python)
        return tuple(self._needs(plan) for plan in plans if plan.rule == DEBS)

    def _needs(self, plan: LayerPlan) -> ElfNeeds:
        action = layer_task(plan.title, plan, _unbound).action
        result = self._store.find(action.key)
        if result is None:
            result = LayerDeriver(self._store).run(action)
            self._store.remember(action, result)
        return read_needs(self._store.read(result.outputs["needs"].digest))


def _unbound(path: str, leaf: Leaf) -> Digest:
    raise AssertionError(f"Debian packages have no leaves: {leaf} at {path}")


def _unreadable(
    environment: LockEnvironment,
    lock: EnvironmentLocks,
    facts: Mapping[Digest, WheelFacts | InputError],
) -> Iterator[Finding]:
    """Reports wheels that are not valid archives."""
    for package in lock.python.packages:
        found = facts[package.wheel.sha256]
        if isinstance(found, InputError):
            where = f"{environment.where(environment.python_file)}: packages: {package.name}"
            yield from found.within(where).findings


def _subject(
    target: Target,
    environment: LockEnvironment,
    lock: EnvironmentLocks,
    facts: Mapping[Digest, WheelFacts | InputError],
    debian: tuple[ElfNeeds, ...],
) -> AuditedEnvironment:
    own = {p.name: facts[p.wheel.sha256] for p in lock.python.packages}
    wanted = environment.python
    accelerator = Accelerator(environment.name) if environment.accelerator is not None else None
    major, minor = wanted.glibc.split(".")
    return AuditedEnvironment(
        file=environment.where(environment.python_file),
        spec_file=target.file,
        lock=lock.python,
        facts={name: found for name, found in own.items() if isinstance(found, WheelFacts)},
        accelerator=environment.accelerator,
        glibc=(int(major), int(minor)),
        requirements=wanted.requirements,
        constraints=wanted.constraints,
        overrides=wanted.overrides,
        debian=debian,
        supplied=supplied_by_host(target.model, accelerator) if accelerator else frozenset(),
        never_loaded=never_loaded(target.model, accelerator) if accelerator else frozenset(),
    )


def _undecided(subjects: Iterable[AuditedEnvironment]) -> set[Code]:
    """Codes whose findings may be missing because something was not read."""
    found: set[Code] = set()
    for subject in subjects:
        for _, facts in subject.wheels:
            found |= {Code.ELF_UNMET, Code.TAG_MISMATCH} if facts.unread else set()
            found |= {Code.UNDECLARED_DEPENDENCY} if facts.unparsed else set()
    return found


def _distinct(found: Iterable[Observation]) -> Iterable[Observation]:
    """Removes duplicates."""
    return dict.fromkeys(found)
