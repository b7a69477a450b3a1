"""Compares the packages of a lock with the requirements of its wheels.

Following Requires-Dist from the spec's requirements, it checks that every reachable package is
locked at a version that satisfies them (lock-drift), that no other package is locked
(lock-malformed), and that each wheel has the locked name and version (content-mismatch). See the
packaging specifications "Core metadata" and "Dependency specifiers"; overrides and constraints work
as in uv.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding
from mpbuild.formats.python import markers
from mpbuild.formats.python.pylock import PythonPackage

_HINT = "run `mpbuild lock`"
_MICRO_VERSIONS = ("0", "99")
_EXTRA = re.compile(r'\bextra == "([^"]+)"')


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Checks the identity of each wheel, then the closure of requirements."""
    for package, facts in subject.wheels:
        yield from _identity(subject, package, facts)
    yield from _Walk(subject).findings()


def _identity(
    subject: AuditedEnvironment, package: PythonPackage, facts: WheelFacts
) -> Iterator[Observation]:
    if not _is(facts, package):
        yield Observation(
            Finding(
                Code.CONTENT_MISMATCH,
                f"METADATA of {package.wheel.filename} is for {facts.name[:80]}"
                f" {facts.version[:80]}",
                subject.at(package.name),
                "use the published wheel",
            ),
            (package.name,),
        )
    if facts.requires_python and not _runs_on(facts.requires_python, subject.python):
        yield Observation(
            Finding(
                Code.LOCK_MALFORMED,
                f"{package.name} {package.version} requires Python {facts.requires_python}, but the"
                f" lock is for {subject.python}",
                subject.at(package.name),
                _HINT,
            ),
            (package.name,),
        )


def _is(facts: WheelFacts, package: PythonPackage) -> bool:
    try:
        version = Version(facts.version) == Version(package.version)
    except InvalidVersion:
        return False
    return version and canonicalize_name(facts.name) == package.name


def _runs_on(requires: str, python: str) -> bool:
    """Whether any micro version satisfies the specifier; the base's own is unknown here."""
    try:
        specifier = SpecifierSet(requires)
    except InvalidSpecifier:
        return True
    return any(specifier.contains(f"{python}.{micro}") for micro in _MICRO_VERSIONS)


class _Walk:
    """Follows the requirements from those of the spec."""

    def __init__(self, subject: AuditedEnvironment) -> None:
        self._subject = subject
        self._facts = subject.facts
        self._versions = subject.versions
        self._overrides = _by_name(subject.overrides)
        self._seen: set[tuple[str, str]] = set()
        self._reached: set[str] = set()

    def findings(self) -> Iterator[Observation]:
        """Yields missing packages, wrong versions and superfluous packages."""
        waiting = [
            asked
            for text in self._subject.requirements
            for asked in self._overridden("the spec", Requirement(text), "")
        ]
        while waiting:
            who, requirement, extra = waiting.pop()
            if not markers.applies(requirement, self._subject.python, extra):
                continue
            name = canonicalize_name(requirement.name)
            yield from self._met(who, name, requirement)
            for wanted in ("", *sorted(requirement.extras)):
                waiting += self._asked(name, canonicalize_name(wanted) if wanted else "")
        yield from self._bounds()
        yield from self._superfluous()

    def _met(self, who: str, name: str, requirement: Requirement) -> Iterator[Observation]:
        version = self._versions.get(name)
        if version is None:
            message = f"{who} requires {_text(requirement)}, which is not in the lock"
            yield self._drift(name, message)
        elif not requirement.specifier.contains(version, prereleases=True):
            message = f"{who} requires {_text(requirement)}, but {version} is locked"
            yield self._drift(name, message)
        self._reached.add(name)

    def _asked(self, name: str, extra: str) -> Iterable[tuple[str, Requirement, str]]:
        """The requirements of a package with overrides applied; each pair once."""
        if (name, extra) in self._seen or name not in self._facts:
            return
        self._seen.add((name, extra))
        facts = self._facts[name]
        who = f"{name}[{extra}]" if extra else name
        if extra and extra not in facts.extras:
            # uv and pip treat it as an empty one.
            return
        for text in facts.requires:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            # Requirements without an extra were followed already.
            if self._holds(requirement, extra) and not (extra and self._holds(requirement, "")):
                yield from self._overridden(who, requirement, extra)

    def _holds(self, requirement: Requirement, extra: str) -> bool:
        """Uv keeps only the extra of the marker of an overridden requirement."""
        if canonicalize_name(requirement.name) not in self._overrides:
            return markers.applies(requirement, self._subject.python, extra)
        named = {canonicalize_name(name) for name in _EXTRA.findall(str(requirement.marker or ""))}
        return not named or extra in named

    def _overridden(
        self, who: str, requirement: Requirement, extra: str
    ) -> Iterator[tuple[str, Requirement, str]]:
        overrides = self._overrides.get(canonicalize_name(requirement.name))
        if overrides is None:
            yield who, requirement, extra
        for override in overrides or ():
            yield "an override", override, extra

    def _bounds(self) -> Iterator[Observation]:
        for text in self._subject.constraints:
            bound = Requirement(text)
            name = canonicalize_name(bound.name)
            version = self._versions.get(name)
            applies = markers.applies(bound, self._subject.python)
            if version and applies and not bound.specifier.contains(version, prereleases=True):
                message = f"a constraint requires {_text(bound)}, but {version} is locked"
                yield self._drift(name, message)

    def _superfluous(self) -> Iterator[Observation]:
        for name in sorted(self._versions.keys() - self._reached):
            message = f"nothing requires {name} {self._versions[name]}"
            at = self._subject.at(name)
            yield Observation(Finding(Code.LOCK_MALFORMED, message, at, _HINT), (name,))

    def _drift(self, name: str, message: str) -> Observation:
        return Observation(
            Finding(Code.LOCK_DRIFT, message, self._subject.at(name), _HINT), (name,)
        )


def _by_name(texts: Iterable[str]) -> Mapping[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = defaultdict(list)
    for requirement in map(Requirement, texts):
        found[canonicalize_name(requirement.name)].append(requirement)
    return found


def _text(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"
