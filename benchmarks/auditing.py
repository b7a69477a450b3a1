"""Measures how much an audit of locks reads from the wheels if the store has none of them."""

import tempfile
from pathlib import Path

from figures import Figure

from mpbuild.app.lock.audit_locks import audit
from mpbuild.app.lock.lock_files import read_locks
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.base.label import Label
from mpbuild.effects.store.store import Store

LIMIT_MB = 1


def audit_figures(root: Path, target: str) -> list[Figure]:
    """Audits the CUDA locks of ``target`` through the user's own index: 12 wheels, 2 GB."""
    figure = Figure("read from the wheels by an audit of the CUDA locks", None, "MB", LIMIT_MB)
    found = OpenWorkspace(root).target(Label(target))
    locks = read_locks(found).locks
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        try:
            report = audit(found, locks, store=store, accelerators=[Accelerator.CUDA])
        except EnvironmentFailureError as error:
            return [figure.unmeasured(error.findings[0].message)]
        wheels = {package.wheel.sha256 for package in locks["cuda"].python.packages}
        assert not any(store.has(wheel) for wheel in wheels), "the audit must not fetch wheels"
    return [figure._replace(value=report.bytes / 1e6)]
