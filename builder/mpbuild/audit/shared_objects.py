"""Shared objects that nobody supplies (code: elf-unmet), as far as wheels were looked into.

What the build establishes of every object (derive/elf_needs.py) is said here before anything is
downloaded. An object that was not read may supply whatever its name lets expect, and is told of.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.audit.wheel_facts import WheelFacts
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding
from mpbuild.base.units import human_size
from mpbuild.derive.elf_needs import ElfFile, ElfNeeds, unmet
from mpbuild.derive.layers.wheel_layer import destination

_MOST_TOLD = 4


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Needs that are not met, then how many objects were not read."""
    owners: dict[str, str] = {}
    read: dict[str, ElfFile] = {}
    unread: dict[str, ElfFile] = {}
    for package, facts in subject.wheels:
        paths = _paths(package.name, facts, subject.python)
        owners |= dict.fromkeys(paths.values(), package.name)
        read |= {paths[name]: elf for name, elf in facts.elf.items()}
        unread |= {paths[name]: ElfFile() for name in facts.unread}
    needs = ElfNeeds(files=unread | read, links={})
    stems = {_stem(path.rpartition("/")[2]) for path in unread}
    by_path: dict[str, list[Finding]] = defaultdict(list)
    for finding in unmet((*subject.debian, needs), subject.supplied, subject.never_loaded):
        path = finding.where.removeprefix("/")
        if finding.code == Code.SPEC_INVALID:
            yield Observation(finding.code, (), finding.message, f"{subject.spec_file}: /{path}")
        elif path in owners and not _perhaps_unread(finding, stems):
            by_path[path].append(finding)
    for path, findings in by_path.items():
        yield _observation(subject, findings, owners[path])
    yield from _untold(subject)


def _paths(name: str, facts: WheelFacts, python: str) -> Mapping[str, str]:
    """Where those files come to stand that are objects."""
    return {
        member: destination(name, facts.dist_info, member, python)[1]
        for member in (*facts.elf, *facts.unread)
    }


def _perhaps_unread(finding: Finding, stems: set[str]) -> bool:
    """Whether an object that was not read may be it: its own name for itself may be another."""
    if "which nothing" not in finding.message:
        return False
    needed = finding.message.removeprefix("needs ").partition(",")[0]
    return _stem(needed) in stems


def _stem(name: str) -> str:
    return name.partition(".so")[0].partition("-")[0]


def _observation(
    subject: AuditedEnvironment, findings: Sequence[Finding], package: str
) -> Observation:
    """All that one object lacks; a step may do without what an image may not."""
    first = findings[0]
    told = [one.message for one in findings[:_MOST_TOLD]]
    if len(findings) > _MOST_TOLD:
        told.append(f"{len(findings) - _MOST_TOLD} more")
    return Observation(
        first.code,
        (package,),
        f"{first.where} of {package} {', and '.join(told)}",
        subject.at(package),
        first.hint,
        "error" if subject.accelerator is not None else "warning",
    )


def _untold(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Objects that nobody looked into; no finding about them is no praise."""
    sizes = [size for _, facts in subject.wheels for size in facts.unread.values()]
    modules = sum(facts.unparsed for _, facts in subject.wheels)
    if sizes:
        yield Observation(
            Code.ELF_UNMET,
            (),
            f"{len(sizes)} shared objects of {human_size(sum(sizes))} were not looked into,"
            " because reading them would take downloading them",
            subject.file,
            "the build reads them; after `mpbuild fetch` the audit does, too",
            "note",
        )
    if modules:
        yield Observation(
            Code.UNDECLARED_DEPENDENCY,
            (),
            f"{modules} Python modules were not looked into for imports",
            subject.file,
            "after `mpbuild fetch` the audit reads them",
            "note",
        )
