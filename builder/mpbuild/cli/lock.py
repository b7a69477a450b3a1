"""``mpbuild lock``: resolve, or say how the locks have drifted."""

from typing import TYPE_CHECKING, Any

import click

from mpbuild.app.workspace.targets import labels
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.cli.accelerators import several_accelerators
from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.app.lock.lock_command import LockOutcome
    from mpbuild.app.lock.resolve_locks import Upgrade
    from mpbuild.base.errors import Finding
    from mpbuild.base.label import Label

_EVERYTHING = "*"
_NOT_THE_SPECS = (Code.LOCK_MISSING, Code.LOCK_DRIFT, Code.LOCK_MALFORMED)
_OFFLINE, _RESOLVE, _CROSS = _LEVELS = ("offline", "resolve", "cross")


class _Command(click.Command):
    """Options whose value may be left out take one after ``=`` only, so that targets are none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give the bare options their values."""
        bare = {"--check": f"--check={_OFFLINE}", "--upgrade": f"--upgrade={_EVERYTHING}"}
        return super().parse_args(ctx, [bare.get(argument, argument) for argument in args])


@click.command("lock", cls=_Command)
@click.argument("targets", nargs=-1, metavar="[TARGET]…")
@several_accelerators("Only this one's locks are written or checked; may be given again.")
@click.option(
    "--upgrade",
    "upgrades",
    multiple=True,
    metavar="[=PKG]",
    help="Take the newest versions; with a package, only that one moves; may be given again.",
)
@click.option(
    "--check",
    "level",
    metavar="[=LEVEL]",
    type=click.Choice(_LEVELS),
    help="Change nothing; exit 2 where a lock has drifted: offline (default), resolve (ask the "
    "indexes and archives again), cross (and a second resolver).",
)
@click.option(
    "--audit", is_flag=True, help="Look into the wheels, too, for what resolvers don't notice."
)
@click.pass_obj
def command(
    session: Session,
    targets: tuple[str, ...],
    names: tuple[str, ...],
    upgrades: tuple[str, ...],
    level: str | None,
    *,
    audit: bool,
) -> int:
    """Pin every wheel and Debian package by digest; default: for all targets.

    Locks lie in the folder that mpbuild.toml names (lock.directory); commit them.
    """
    if level and upgrades:
        raise click.UsageError("--check changes nothing, so it goes with no --upgrade")
    accelerators = tuple(Accelerator(name) for name in names)
    found = labels(session.root, targets, session.directory)
    if accelerators:
        from mpbuild.app.lock.lock_files import refuse_absent

        refuse_absent([session.workspace().target(label) for label in found], accelerators)
    if level == _OFFLINE and not audit:
        return _answer(session, _offline(session, found, accelerators), len(found))
    from mpbuild.app.lock.lock_command import LockCommand
    from mpbuild.cli.progress import Progress

    with Progress(session) as progress:
        locking = LockCommand(
            session.workspace(), session.store, accelerators, progress, session.progress
        )
        if level:
            findings = [f for label in found for f in locking.check(label, level, audit=audit)]
        else:
            done = locking.lock_all(found, _upgrade(upgrades), audit=audit)
    return _answer(session, findings, len(found)) if level else _written(session, done)


def _offline(
    session: Session, found: "list[Label]", accelerators: tuple[Accelerator, ...]
) -> "list[Finding]":
    """Nothing but files is asked; what was good and hasn't changed isn't even read again."""
    if not accelerators:
        from mpbuild.app.lock.lock_check_cache import check

        return [finding for label in found for finding in check(session.root, label)]
    from mpbuild.app.lock.lock_files import check as drifted

    workspace = session.workspace()
    return [
        finding for label in found for finding in drifted(workspace.target(label), accelerators)
    ]


def _answer(session: Session, findings: "list[Finding]", targets: int) -> int:
    """What a check says: 2 where a lock is not what it should be, 1 where another check failed."""
    failed = [finding for finding in findings if finding.severity == "error"]
    text = "" if failed else f"the locks of {targets} targets answer to their specs"
    session.emit({"locks": []}, lambda: text, ok=not failed, findings=findings)
    if not failed:
        return 0
    return 2 if any(finding.code in _NOT_THE_SPECS for finding in failed) else 1


def _upgrade(names: tuple[str, ...]) -> "Upgrade":
    from packaging.utils import canonicalize_name

    from mpbuild.app.lock.resolve_locks import Upgrade

    return Upgrade(
        names=frozenset(canonicalize_name(name) for name in names if name != _EVERYTHING),
        everything=_EVERYTHING in names,
    )


def _written(session: Session, done: "list[LockOutcome]") -> int:
    ok = all(one.ok for one in done)
    locks = [entry for one in done for entry in one.locks]
    weights = [entry for one in done for entry in one.weights]
    built = [entry for one in done for entry in one.built]
    session.emit(
        {"locks": locks, "weights": weights, "built": built},
        lambda: "\n".join([*map(_built, built), *map(_text, locks), *map(_pinned, weights)]),
        ok=ok,
        findings=[finding for one in done for finding in one.findings],
    )
    return max([0 if ok else 1, *(one.exit_code for one in done)])


def _text(lock: dict[str, Any]) -> str:
    from mpbuild.base.units import human_size

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


def _pinned(weights: dict[str, Any]) -> str:
    from mpbuild.base.units import human_size

    size, before = human_size(weights["size"]), weights["from"]
    moved = f", before sha256:{before['sha256']}" if before else ""
    return f"{weights['name']}  {weights['url']}  {size}, sha256:{weights['sha256']}{moved}"


def _built(wheel: dict[str, Any]) -> str:
    return f"{wheel['path']}  built from the source distribution of {wheel['name']}"
