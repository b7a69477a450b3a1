"""Finds shared objects that nothing supplies (code: elf-unmet), as far as wheels were read.

This reports before any download what a build checks for every object (derive/elf_needs.py). An
object that was not read is assumed to supply what its name suggests, and is reported.
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

_SHOWN = 4


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Yields unmet needs, then the number of objects that were not read."""
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
            yield Observation(
                Finding(finding.code, finding.message, f"{subject.spec_file}: /{path}"), ()
            )
        elif path in owners and not _perhaps_unread(finding, stems):
            by_path[path].append(finding)
    for path, findings in by_path.items():
        yield _observation(subject, findings, owners[path])
    yield from _unread(subject)


def _paths(name: str, facts: WheelFacts, python: str) -> Mapping[str, str]:
    """The paths in the image of the files that are shared objects."""
    return {
        member: destination(name, facts.dist_info, member, python)[1]
        for member in (*facts.elf, *facts.unread)
    }


def _perhaps_unread(finding: Finding, stems: set[str]) -> bool:
    """Whether an unread object may meet the need, since its SONAME is unknown."""
    if "which nothing" not in finding.message:
        return False
    needed = finding.message.removeprefix("needs ").partition(",")[0]
    return _stem(needed) in stems


def _stem(name: str) -> str:
    return name.partition(".so")[0].partition("-")[0]


def _observation(
    subject: AuditedEnvironment, findings: Sequence[Finding], package: str
) -> Observation:
    """The unmet needs of an object: errors in images, warnings in environments of steps."""
    first = findings[0]
    messages = [one.message for one in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        messages.append(f"{len(findings) - _SHOWN} more")
    return Observation(
        Finding(
            first.code,
            f"{first.where} of {package} {', and '.join(messages)}",
            subject.at(package),
            first.hint,
            "error" if subject.accelerator is not None else "warning",
        ),
        (package,),
    )


def _unread(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Reports how much was not read, so that missing findings are not mistaken for a pass."""
    sizes = [size for _, facts in subject.wheels for size in facts.unread.values()]
    modules = sum(facts.unparsed for _, facts in subject.wheels)
    if sizes:
        yield Observation(
            Finding(
                Code.ELF_UNMET,
                f"{len(sizes)} shared objects of {human_size(sum(sizes))} were not read,"
                " because reading them would take downloading them",
                subject.file,
                "the build reads them; after `mpbuild fetch`, so does the audit",
                "note",
            ),
            (),
        )
    if modules:
        yield Observation(
            Finding(
                Code.UNDECLARED_DEPENDENCY,
                f"{modules} Python modules were not searched for imports",
                subject.file,
                "after `mpbuild fetch` the audit reads them",
                "note",
            ),
            (),
        )
