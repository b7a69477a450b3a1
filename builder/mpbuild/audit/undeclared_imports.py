"""Wheels that import what they don't ask for (code: undeclared-dependency).

Only wheels that ask for nothing at all are looked into: whoever declares dependencies has thought
of them.
"""

from collections.abc import Iterator

from packaging.utils import canonicalize_name

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.audit.module_imports import provided
from mpbuild.base.codes import Code


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Modules that importing a wheel imports, and that no wheel of the lock brings."""
    brought = {top for _, facts in subject.wheels for top in provided(facts.files)}
    for package, facts in subject.wheels:
        for imported in facts.imports:
            if imported.top in brought:
                continue
            uses = "names types of" if imported.typing else "imports"
            yield Observation(
                Code.UNDECLARED_DEPENDENCY,
                (package.name,),
                f"{imported.by} of {package.name} {uses} {imported.top}, and the wheel asks for"
                " nothing at all, nor does another of the lock bring it",
                subject.at(package.name),
                f"add the package to the dependencies, perhaps {canonicalize_name(imported.top)}",
                "warning" if imported.typing else "error",
            )
