"""``mpbuild lock``: resolves locks, or checks them for drift."""

from typing import TYPE_CHECKING, Any

import click

from mpbuild.app.workspace.targets import labels
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.cli.accelerators import several_accelerators
from mpbuild.cli.session import Session

if TYPE_CHECKING:
    from mpbuild.app.lock.build_wheels import BuiltWheel
    from mpbuild.app.lock.lock_command import LockOutcome
    from mpbuild.app.lock.pin_weights import PinnedWeight
    from mpbuild.app.lock.resolve_locks import LockReport, Upgrade
    from mpbuild.base.errors import Finding
    from mpbuild.base.label import Label
    from mpbuild.spec.weight_pins import Pin

_EVERYTHING = "*"
_LOCK_FAULTS = (Code.LOCK_MISSING, Code.LOCK_DRIFT, Code.LOCK_MALFORMED)
_OFFLINE, _RESOLVE, _CROSS = _LEVELS = ("offline", "resolve", "cross")


class _Command(click.Command):
    """Options with an optional value accept it after ``=`` only; the next word is a target."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Adds default values to bare options."""
        bare = {"--check": f"--check={_OFFLINE}", "--upgrade": f"--upgrade={_EVERYTHING}"}
        return super().parse_args(ctx, [bare.get(argument, argument) for argument in args])


@click.command("lock", cls=_Command)
@click.argument("targets", nargs=-1, metavar="[TARGET]…")
@several_accelerators("Write or check only the locks of this accelerator; may be repeated.")
@click.option(
    "--upgrade",
    "upgrades",
    multiple=True,
    metavar="[=PKG]",
    help="Select the newest versions; with PKG, of that package only; may be repeated.",
)
@click.option(
    "--check",
    "level",
    metavar="[=LEVEL]",
    type=click.Choice(_LEVELS),
    help="Change nothing; exit 2 if a lock has drifted: offline (default), resolve (query the "
    "indexes and archives again), cross (also compare with a second resolver).",
)
@click.option(
    "--audit",
    is_flag=True,
    help="Also inspect the wheels for problems that resolvers miss.",
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

    Locks are in the folder that mpbuild.toml names (lock.directory); commit them.
    """
    if level and upgrades:
        raise click.UsageError("--check and --upgrade can't be combined")
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
    """Checks files only; skips those that were good and have not changed."""
    if not accelerators:
        from mpbuild.app.lock.lock_check_cache import LockCheckKey, check

        mpbuild = session.installation.identity
        keys = [LockCheckKey(session.root, label, mpbuild) for label in found]
        return [finding for key in keys for finding in check(key)]
    from mpbuild.app.lock.lock_files import check as drifted

    workspace = session.workspace()
    return [
        finding for label in found for finding in drifted(workspace.target(label), accelerators)
    ]


def _answer(session: Session, findings: "list[Finding]", targets: int) -> int:
    """Prints the result of a check; 2 if a lock is at fault, 1 if another check failed."""
    failed = [finding for finding in findings if finding.severity == "error"]
    plural = "" if targets == 1 else "s"
    text = "" if failed else f"locks are up to date ({targets} target{plural})"
    session.emit({"locks": []}, lambda: text, ok=not failed, findings=findings)
    if not failed:
        return 0
    return 2 if any(finding.code in _LOCK_FAULTS for finding in failed) else 1


def _upgrade(names: tuple[str, ...]) -> "Upgrade":
    from packaging.utils import canonicalize_name

    from mpbuild.app.lock.resolve_locks import Upgrade

    return Upgrade(
        names=frozenset(canonicalize_name(name) for name in names if name != _EVERYTHING),
        everything=_EVERYTHING in names,
    )


def _written(session: Session, outcomes: "list[LockOutcome]") -> int:
    ok = all(outcome.ok for outcome in outcomes)
    locks = [lock for outcome in outcomes for lock in outcome.locks]
    weights = [pinned for outcome in outcomes for pinned in outcome.weights]
    built = [(outcome.label, wheel) for outcome in outcomes for wheel in outcome.built]
    session.emit(
        {
            "locks": [_lock_json(lock) for lock in locks],
            "weights": [_weight_json(pinned) for pinned in weights],
            "built": [_wheel_json(session, label, wheel) for label, wheel in built],
        },
        lambda: "\n".join(
            [
                *(_wheel_text(session, wheel) for _, wheel in built),
                *map(_lock_text, locks),
                *map(_weight_text, weights),
            ]
        ),
        ok=ok,
        findings=[finding for outcome in outcomes for finding in outcome.findings],
    )
    return max([0 if ok else 1, *(outcome.exit_code for outcome in outcomes)])


def _lock_json(lock: "LockReport") -> dict[str, Any]:
    return {
        "label": str(lock.label),
        "kind": lock.kind,
        "environment": lock.environment,
        "path": lock.path,
        "digest": str(lock.digest),
        "packages": lock.packages,
        "bytes": lock.bytes,
        "changed": [
            {"name": change.name, "from": change.before, "to": change.after}
            for change in lock.changed
        ],
    }


def _lock_text(lock: "LockReport") -> str:
    from mpbuild.base.units import human_size

    lines = [f"{lock.path}  {lock.packages} packages, {human_size(lock.bytes)}"]
    for change in lock.changed:
        if change.before is None:
            lines.append(f"  + {change.name} {change.after}")
        elif change.after is None:
            lines.append(f"  - {change.name} {change.before}")
        else:
            lines.append(f"  ~ {change.name} {change.before} → {change.after}")
    return "\n".join(lines)


def _weight_json(pinned: "PinnedWeight") -> dict[str, Any]:
    """``from`` is null for a first pin."""
    before = _pin_json(pinned.before) if pinned.before else None
    names = {"label": str(pinned.label), "name": pinned.name}
    return {**names, **_pin_json(pinned.pin), "from": before}


def _pin_json(pin: "Pin") -> dict[str, Any]:
    return {"url": pin.url, "sha256": pin.sha256.hex, "size": pin.size}


def _weight_text(pinned: "PinnedWeight") -> str:
    from mpbuild.base.units import human_size

    pin, before = pinned.pin, pinned.before
    moved = f", before sha256:{before.sha256.hex}" if before else ""
    return f"{pinned.name}  {pin.url}  {human_size(pin.size)}, sha256:{pin.sha256.hex}{moved}"


def _wheel_json(session: Session, label: "Label", wheel: "BuiltWheel") -> dict[str, Any]:
    return {
        "label": str(label),
        "name": wheel.name,
        "version": wheel.version,
        "path": wheel.path.relative_to(session.root).as_posix(),
        "sha256": wheel.digest.hex,
        "size": wheel.size,
        "source": wheel.source.hex,
    }


def _wheel_text(session: Session, wheel: "BuiltWheel") -> str:
    path = wheel.path.relative_to(session.root).as_posix()
    return f"{path}  built from the source distribution of {wheel.name}"
