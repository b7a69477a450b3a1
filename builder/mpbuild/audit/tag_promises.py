"""Compares the tags in a wheel's file name with its contents (code: tag-mismatch).

Installers only read the file name. The Tag lines of WHEEL describe what was built; a wheel that was
renamed without them was not checked (PEP 427; auditwheel changes both). The symbol versions come
from the shared objects; PEP 600 limits them for each manylinux tag.
"""

import re
from collections.abc import Iterable, Iterator

from packaging.tags import Tag, parse_tag

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding
from mpbuild.derive.elf_needs import ElfFile
from mpbuild.formats.python import wheel_tags
from mpbuild.formats.python.pylock import PythonPackage

_ACCEPTABLE = "if it is harmless, give the reason in environment.accepted"
_VERSION = re.compile(r"(GLIBC|GLIBCXX)_(\d+)\.(\d+)(?:\.(\d+))?")
# auditwheel's policies: the newest GLIBCXX for each glibc that starts a policy.
_GLIBCXX = {
    (2, 5): (3, 4, 8),
    (2, 12): (3, 4, 13),
    (2, 17): (3, 4, 19),
    (2, 24): (3, 4, 22),
    (2, 27): (3, 4, 24),
    (2, 28): (3, 4, 24),
    (2, 31): (3, 4, 28),
    (2, 34): (3, 4, 29),
    (2, 35): (3, 4, 30),
    (2, 38): (3, 4, 32),
    (2, 39): (3, 4, 33),
}


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Yields wheels whose names do not match their contents."""
    for package, facts in subject.wheels:
        yield from _tags(subject, package, facts)
        yield from _versions(subject, package, facts)


def _tags(
    subject: AuditedEnvironment, package: PythonPackage, facts: WheelFacts
) -> Iterator[Observation]:
    named = wheel_tags.WheelName.of(package.wheel.filename).tags
    declared = frozenset(_parsed(facts.tags))
    usable = wheel_tags.supported(subject.python, subject.glibc)
    promised = wheel_tags.floor(named, subject.python)
    built = wheel_tags.floor(declared, subject.python)
    claim = (
        f"WHEEL of {package.name} has the tags {_shown(declared)}, its file name {_shown(named)}"
    )
    if wheel_tags.rank(declared, usable) is None:
        message = f"{claim}: it is not built for Python {subject.python} on this base"
        yield _observation(subject, package, message, "use another build of it")
    elif promised and not named & declared and (built is None or built > promised):
        yield _observation(
            subject,
            package,
            f"{claim}: its glibc was not checked",
            f"a build checks what its objects need; {_ACCEPTABLE}",
            warning=True,
        )


def _versions(
    subject: AuditedEnvironment, package: PythonPackage, facts: WheelFacts
) -> Iterator[Observation]:
    """Yields objects that need newer symbols than the tag allows, even if the base has them."""
    glibc = wheel_tags.floor(wheel_tags.WheelName.of(package.wheel.filename).tags, subject.python)
    if glibc is None:
        return
    glibcxx = max((v for g, v in _GLIBCXX.items() if g <= glibc), default=_GLIBCXX[2, 5])
    ceilings: dict[str, tuple[int, ...]] = {"GLIBC": glibc, "GLIBCXX": glibcxx}
    worst: dict[str, tuple[tuple[int, ...], str]] = {}
    for name, elf in sorted(facts.elf.items()):
        for symbols, version in _needed(elf):
            if version > max(ceilings[symbols], worst.get(symbols, ((0,), ""))[0]):
                worst[symbols] = (version, name)
    for symbols, (version, name) in sorted(worst.items()):
        yield _observation(
            subject,
            package,
            f"{name} of {package.name} needs {symbols}_{_dotted(version)}, but its file name's"
            f" manylinux_{glibc[0]}_{glibc[1]} allows {_dotted(ceilings[symbols])}",
            f"whether the base has it is checked as elf-unmet; {_ACCEPTABLE}",
            warning=True,
        )


def _needed(elf: ElfFile) -> Iterator[tuple[str, tuple[int, ...]]]:
    for versions in elf.versions_needed.values():
        for match in filter(None, map(_VERSION.fullmatch, versions)):
            symbols, *numbers = match.groups()
            yield symbols, tuple(int(number) for number in numbers if number)


def _observation(
    subject: AuditedEnvironment,
    package: PythonPackage,
    message: str,
    hint: str,
    *,
    warning: bool = False,
) -> Observation:
    return Observation(
        Finding(
            Code.TAG_MISMATCH,
            message,
            subject.at(package.name),
            hint,
            "warning" if warning else "error",
        ),
        (package.name,),
    )


def _parsed(lines: Iterable[str]) -> Iterator[Tag]:
    """Parses Tag lines; some tools write a compressed set into one line."""
    for line in lines:
        if line.count("-") == 2:
            yield from parse_tag(line)


def _shown(found: Iterable[Tag]) -> str:
    texts = sorted(map(str, found))
    return ", ".join(texts[:3]) + (", …" if len(texts) > 3 else "") if texts else "nothing"


def _dotted(version: Iterable[int]) -> str:
    return ".".join(map(str, version))
