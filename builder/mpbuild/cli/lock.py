"""``mpbuild lock``: resolve, or say how the locks have drifted."""

from typing import Any

import click

from mpbuild.app.targets import labels
from mpbuild.base.units import human_size
from mpbuild.cli.session import Session


@click.command("lock")
@click.argument("targets", nargs=-1, metavar="[TARGET]…")
@click.option("--check", is_flag=True, help="Change nothing; exit 2 where a lock has drifted.")
@click.pass_obj
def command(session: Session, targets: tuple[str, ...], *, check: bool) -> int:
    """Pin every wheel and Debian package by digest; default: for all targets.

    Locks lie in the folder that mpbuild.toml names (lock.directory); commit them.
    """
    workspace = session.workspace()
    found = [workspace.target(x) for x in labels(workspace.root, targets, session.directory)]
    if check:
        from mpbuild.app.locks import check as drifted

        findings = [finding for target in found for finding in drifted(target)]
        text = "" if findings else f"the locks of {len(found)} targets answer to their specs"
        session.emit({"locks": []}, lambda: text, ok=not findings, findings=findings)
        return 2 if findings else 0
    from mpbuild.app.lock import Locker

    locker = Locker()
    locks = []
    for target in found:
        session.progress(f"  locking {target.label}")
        locks += locker.lock(target)
    session.emit({"locks": locks}, lambda: "\n".join(map(_text, locks)))
    return 0


def _text(lock: dict[str, Any]) -> str:
    lines = [f"{lock['path']}  {lock['packages']} packages, {human_size(lock['bytes'])}"]
    for change in lock["changed"]:
        before, after = change["from"], change["to"]
        if before is None:
            lines.append(f"  + {change['name']} {after}")
        elif after is None:
            lines.append(f"  - {change['name']} {before}")
        else:
            lines.append(f"  ~ {change['name']} {before} → {after}")
    return "\n".join(lines)
