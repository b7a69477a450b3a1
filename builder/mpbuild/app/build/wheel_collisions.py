"""Finds files that two wheels of a lock install with different bytes, before layers are derived.

The layer of one wheel would hide the file of another at the same path, and no engine reports it.
Reads the central directories of the wheels only.
"""

from collections.abc import Collection, Sequence

from mpbuild.audit.acceptance import left
from mpbuild.audit.collisions import of_files
from mpbuild.audit.install_paths import installed
from mpbuild.audit.read_wheel_facts import WholeWheel, read_directory
from mpbuild.audit.wheel_facts import MemberFacts
from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.store.store import Store
from mpbuild.formats.python.pylock import PythonPackage
from mpbuild.spec.environment import AcceptedFinding
from mpbuild.spec.vocabulary import AcceptableCode

_FORMAT = 1


def file_collisions(
    lock: EnvironmentLocks, accepted: Sequence[AcceptedFinding], store: Store, *, file: str
) -> list[Finding]:
    """Finds each path that two wheels of ``lock`` install with different bytes.

    Leaves out ``accepted`` ones. All wheels are in ``store``. Raises InputError (layer-unsafe)
    for a malformed central directory.
    """
    python = lock.python.python
    trees = {package.name: _tree(package, python, store) for package in lock.python.packages}
    return [one.finding for one in left(of_files(trees, file), accepted)]


def new_collisions(
    lock: EnvironmentLocks, accepted: Sequence[AcceptedFinding], store: Store, *, file: str
) -> list[Finding]:
    """The same for builders: the store remembers wheels that were found free of collisions.

    Verifiers call ``file_collisions``, which trusts no earlier result in the store.
    """
    key = _key(lock, accepted)
    if store.fact(key) is not None:
        return []
    found = file_collisions(lock, accepted, store, file=file)
    if not found:
        store.keep_fact(key, b"{}")
    return found


def without_accepted(
    findings: Collection[Finding],
    lock: EnvironmentLocks,
    accepted: Sequence[AcceptedFinding],
    store: Store,
) -> list[Finding]:
    """``findings`` without those about shared objects of wheels that the spec accepts."""
    names = {
        name
        for entry in accepted
        if entry.code == AcceptableCode.ELF_UNMET
        for name in entry.packages
    }
    packages = [package for package in lock.python.packages if package.name in names]
    if not findings or not packages:
        return list(findings)
    trees = [_tree(package, lock.python.python, store) for package in packages]
    paths = {f"/{path}" for tree in trees for path in tree}
    return [one for one in findings if one.code != Code.ELF_UNMET or one.where not in paths]


def _key(lock: EnvironmentLocks, accepted: Sequence[AcceptedFinding]) -> Digest:
    wheels = [package.wheel for package in lock.python.packages]
    return canonical.digest(
        {
            "check": AcceptableCode.FILE_COLLISION,
            "format": _FORMAT,
            "python": lock.python.python,
            "wheels": {wheel.filename: wheel.sha256 for wheel in wheels},
            "accepted": [
                plain(one) for one in accepted if one.code == AcceptableCode.FILE_COLLISION
            ],
        }
    )


def _tree(package: PythonPackage, python: str, store: Store) -> dict[str, MemberFacts]:
    try:
        with store.mapped(package.wheel.sha256) as data:
            return installed(read_directory(WholeWheel(data)), package.name, python)
    except InputError as error:
        raise error.within(package.wheel.filename) from error
