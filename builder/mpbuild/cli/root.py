"""The command group: global options, commands found by name, errors turned into exit codes."""

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

import mpbuild
from mpbuild.base.errors import Finding, MpbuildError
from mpbuild.cli.session import Session, wants_color

COMMANDS = ("build", "fetch", "inspect", "lock", "run", "schema", "store")


class _Commands(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mpbuild.cli.{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-C", "directory", default=".", metavar="DIR", help="Run as if started in DIR.")
@click.option(
    "--store", metavar="DIR", help="The store; default: mpbuild.toml's, ~/.cache/mpbuild."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
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
    """A TOML model spec becomes a content-addressed, reproducible package."""
    ctx.obj = Session(Path(directory), store, form == "json", wants_color(color), quiet, verbose)


def run(words: Sequence[str]) -> int:
    """Run a command line and return its exit code; never a traceback unless ``-v`` is given."""
    session = _guess(words)
    command = next((word for word in words if word in COMMANDS), "mpbuild")
    try:
        code = cli.main(list(words), prog_name="mpbuild", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except MpbuildError as error:
        _trace(session)
        return _fail(session, command, error.exit_code, error.findings)
    except click.ClickException as error:
        return _fail(session, command, 2, (_usage(error),))
    except (KeyboardInterrupt, click.Abort):
        return _fail(session, command, 130, (Finding("interrupted", "interrupted"),))
    except BrokenPipeError:
        return 3
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug of ours
        _trace(session)
        return _fail(session, command, 70, (_bug(error),))


def _fail(session: Session, command: str, code: int, findings: Sequence[Finding]) -> int:
    session.emit(command, {}, lambda: "", ok=False, findings=findings)
    return code


def _usage(error: click.ClickException) -> Finding:
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path} --help`" if context else "see `mpbuild --help`"
    return Finding("usage", error.format_message(), "", hint)


def _bug(error: Exception) -> Finding:
    return Finding(
        "internal",
        f"this is a bug in mpbuild: {type(error).__name__}: {error}",
        "",
        "run again with -v and report the traceback with the command and your model.toml",
    )


def _trace(session: Session) -> None:
    if session.verbose:
        traceback.print_exc(file=sys.stderr)


def _guess(words: Sequence[str]) -> Session:
    """The options that decide how a failure is told, also where click couldn't read them."""
    pairs = list(zip(words, [*words[1:], ""], strict=True))
    form = "--format=json" in words or ("--format", "json") in pairs
    return Session(Path(), None, form, wants_color("auto"), quiet=False, verbose="-v" in words)
