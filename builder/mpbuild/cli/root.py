"""The command group: global options, commands loaded by name, errors as exit codes."""

import errno
import importlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import mpbuild
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, MpbuildError
from mpbuild.cli.session import Session, wants_color

if TYPE_CHECKING:
    from mpbuild.effects.sandbox.bubblewrap import BwrapCandidate

COMMANDS = (
    "build",
    "export",
    "fetch",
    "init",
    "inspect",
    "keygen",
    "lock",
    "reproduce",
    "run",
    "schema",
    "sign",
    "store",
    "verify",
)
USAGE = "usage"
"""The command's name in results where none could be read."""


class _Commands(click.Group):
    """Imports the module of a command when the command is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mpbuild.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            ctx.fail(
                f"no such command {args[0]!r}" + (f"; did you mean {near[0]}?" if near else "")
            )
        return super().resolve_command(ctx, args)


class _Reporter:
    """The session that reports a failure: guessed until the options are read."""

    def __init__(
        self,
        words: Sequence[str],
        toolchain: Path | None,
        bwrap: "Sequence[BwrapCandidate] | None",
    ) -> None:
        self.toolchain = toolchain
        self.bwrap = bwrap
        self.session = _guess(words)


@click.group(
    cls=_Commands,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-C", "directory", default=".", metavar="DIR", help="Run as if started in DIR.")
@click.option(
    "--store",
    metavar="DIR",
    help="The store of blobs and results; default: MPBUILD_STORE, then store.path in mpbuild.toml, "
    "then ~/.cache/mpbuild.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: print one JSON object.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="auto: color on a terminal, unless NO_COLOR is set.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Print cached actions and tracebacks as well.")
@click.version_option(mpbuild.__version__, prog_name="mpbuild", message="%(prog)s %(version)s")
@click.pass_context
def cli(
    ctx: click.Context,
    directory: str,
    store: str | None,
    form: str,
    color: str,
    *,
    quiet: bool,
    verbose: bool,
) -> None:
    """Build reproducible, content-addressed packages of ML models.

    A TARGET is a label (//examples/digits), a pattern (//..., //vision/...), or a folder with a
    model.toml.
    """
    reporter: _Reporter = ctx.obj
    reporter.session = ctx.obj = Session(
        ctx.invoked_subcommand or USAGE,
        Path(directory),
        store,
        json=form == "json",
        color=wants_color(color),
        quiet=quiet,
        verbose=verbose,
        toolchain=reporter.toolchain,
        bwrap=reporter.bwrap,
    )


def run(
    words: Sequence[str],
    *,
    toolchain: Path | None = None,
    bwrap: "Sequence[BwrapCandidate] | None" = None,
) -> int:
    """Runs a command line and returns its exit code; prints a traceback only with ``-v``.

    ``toolchain`` is a folder of toolchain locks to use instead of mpbuild's own; ``bwrap`` replaces
    the bubblewrap executables of this machine. Raises BrokenPipeError where standard output is
    closed, so that a failure can't be reported.
    """
    reporter = _Reporter(words, toolchain, bwrap)
    try:
        code = cli.main(list(words), prog_name="mpbuild", standalone_mode=False, obj=reporter)
    except click.ClickException as error:
        return _fail(reporter.session, 2, (_usage(error),))
    except (KeyboardInterrupt, click.Abort):
        return _fail(reporter.session, 130, (Finding(Code.INTERRUPTED, "interrupted"),))
    except SystemExit:
        return 3  # click does this if standard output is closed
    except Exception as error:  # noqa: BLE001 - the last line of defence
        if reporter.session.verbose:
            import traceback

            reporter.session.say("".join(traceback.format_exception(error)).rstrip())
        return _fail(reporter.session, *_findings(error))
    return code if isinstance(code, int) else 0


def _fail(session: Session, code: int, findings: Sequence[Finding]) -> int:
    try:
        session.emit({}, lambda: "", ok=False, findings=findings)
    except BrokenPipeError:
        raise
    except OSError as error:
        session.say(session.finding(_system(error)))
    return code


def _findings(error: Exception) -> tuple[int, Sequence[Finding]]:
    """The exit code and the findings of an error."""
    if isinstance(error, MpbuildError):
        return error.exit_code, error.findings
    if isinstance(error, OSError):
        return 3, (_system(error),)
    return 70, (_bug(error),)


def _system(error: OSError) -> Finding:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    where = str(error.filename or "")
    return Finding(Code.DISK_FULL if full else Code.SYSTEM, error.strerror or str(error), where)


def _usage(error: click.ClickException) -> Finding:
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path if context else 'mpbuild'} --help`"
    return Finding(Code.USAGE, error.format_message(), "", hint)


def _bug(error: Exception) -> Finding:
    return Finding(
        Code.INTERNAL,
        f"this is a bug in mpbuild {mpbuild.__version__}: {type(error).__name__}: {error}",
        "",
        "run again with -v, and report the traceback with the command and your model.toml",
    )


def _guess(words: Sequence[str]) -> Session:
    """A session with the options that decide how a failure is reported, before click reads them."""
    following = dict(itertools.pairwise(words))
    json = "--format=json" in words or following.get("--format") == "json"
    return Session(
        command=USAGE,
        directory=Path(),
        store_option=None,
        json=json,
        color=wants_color(following.get("--color", "auto")),
        quiet=False,
        verbose="-v" in words or "--verbose" in words,
    )
