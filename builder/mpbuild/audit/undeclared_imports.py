"""Finds wheels that import packages they do not require (code: undeclared-dependency).

Only wheels without any requirement are checked, since the others declare dependencies deliberately.
"""

from collections.abc import Iterator

from packaging.utils import canonicalize_name

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.audit.module_imports import provided
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Yields modules that a wheel imports and no wheel of the lock provides."""
    brought = {top for _, facts in subject.wheels for top in provided(facts.files)}
    for package, facts in subject.wheels:
        for imported in facts.imports:
            if imported.top in brought:
                continue
            uses = "names types of" if imported.typing else "imports"
            yield Observation(
                Finding(
                    Code.UNDECLARED_DEPENDENCY,
                    f"{imported.by} of {package.name} {uses} {imported.top}, but the wheel has no"
                    " requirements, and no wheel of the lock provides it",
                    subject.at(package.name),
                    "add the package to the dependencies, perhaps"
                    f" {canonicalize_name(imported.top)}",
                    "warning" if imported.typing else "error",
                ),
                (package.name,),
            )
