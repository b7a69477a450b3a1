"""The packages of a lock, against what its wheels ask for.

From the spec's requirements on, along Requires-Dist: everything that is reached is locked in a
version that will do (codes: lock-drift), nothing else is there (lock-malformed), and each wheel is
what the lock calls it (content-mismatch). The packaging specifications "Core metadata" and
"Dependency specifiers"; overrides and constraints as uv takes them.
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
from mpbuild.formats.python import markers
from mpbuild.formats.python.pylock import PythonPackage

_HINT = "run `mpbuild lock`"
_MICRO_VERSIONS = ("0", "99")
_EXTRA = re.compile(r'\bextra == "([^"]+)"')


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Identity of each wheel, then the closure of what is asked for."""
    for package, facts in subject.wheels:
        yield from _identity(subject, package, facts)
    yield from _Walk(subject).findings()


def _identity(
    subject: AuditedEnvironment, package: PythonPackage, facts: WheelFacts
) -> Iterator[Observation]:
    if not _is(facts, package):
        yield Observation(
            Code.CONTENT_MISMATCH,
            (package.name,),
            f"METADATA of {package.wheel.filename} says {facts.name[:80]} {facts.version[:80]}",
            subject.at(package.name),
            "use the wheel as it was published",
        )
    if facts.requires_python and not _runs_on(facts.requires_python, subject.python):
        yield Observation(
            Code.LOCK_MALFORMED,
            (package.name,),
            f"{package.name} {package.version} asks for Python {facts.requires_python}, and the"
            f" lock is for {subject.python}",
            subject.at(package.name),
            _HINT,
        )


def _is(facts: WheelFacts, package: PythonPackage) -> bool:
    try:
        version = Version(facts.version) == Version(package.version)
    except InvalidVersion:
        return False
    return version and canonicalize_name(facts.name) == package.name


def _runs_on(requires: str, python: str) -> bool:
    """Which micro version the base has is not known here: one that will do is enough."""
    try:
        specifier = SpecifierSet(requires)
    except InvalidSpecifier:
        return True
    return any(specifier.contains(f"{python}.{micro}") for micro in _MICRO_VERSIONS)


class _Walk:
    """What is reached from the spec's requirements, and who asks for what."""

    def __init__(self, subject: AuditedEnvironment) -> None:
        self._subject = subject
        self._facts = subject.facts
        self._versions = subject.versions
        self._overrides = _by_name(subject.overrides)
        self._seen: set[tuple[str, str]] = set()
        self._reached: set[str] = set()

    def findings(self) -> Iterator[Observation]:
        """What is lacking, too old or new, or superfluous."""
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
            message = f"{who} asks for {_told(requirement)}, which is not in the lock"
            yield self._drift(name, message)
        elif not requirement.specifier.contains(version, prereleases=True):
            message = f"{who} asks for {_told(requirement)}, and {version} is locked"
            yield self._drift(name, message)
        self._reached.add(name)

    def _asked(self, name: str, extra: str) -> Iterable[tuple[str, Requirement, str]]:
        """What the package itself asks for, as overrides have it; each pair once."""
        if (name, extra) in self._seen or name not in self._facts:
            return
        self._seen.add((name, extra))
        facts = self._facts[name]
        who = f"{name}[{extra}]" if extra else name
        if extra and extra not in facts.extras:
            # uv and pip take it for an empty one.
            return
        for text in facts.requires:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            # Under an extra what holds without one was seen already.
            if self._holds(requirement, extra) and not (extra and self._holds(requirement, "")):
                yield from self._overridden(who, requirement, extra)

    def _holds(self, requirement: Requirement, extra: str) -> bool:
        """Of the marker of what is overridden uv keeps the extra alone."""
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
                message = f"a constraint asks for {_told(bound)}, and {version} is locked"
                yield self._drift(name, message)

    def _superfluous(self) -> Iterator[Observation]:
        for name in sorted(self._versions.keys() - self._reached):
            message = f"nothing asks for {name} {self._versions[name]}"
            at = self._subject.at(name)
            yield Observation(Code.LOCK_MALFORMED, (name,), message, at, _HINT)

    def _drift(self, name: str, message: str) -> Observation:
        return Observation(Code.LOCK_DRIFT, (name,), message, self._subject.at(name), _HINT)


def _by_name(texts: Iterable[str]) -> Mapping[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = defaultdict(list)
    for requirement in map(Requirement, texts):
        found[canonicalize_name(requirement.name)].append(requirement)
    return found


def _told(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"
