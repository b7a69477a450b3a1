"""What every command keeps to: help, exit codes, one JSON object, results on stdout alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import mpbuild as package
from mpbuild.cli.root import COMMANDS, cli


def every_command():
    """The words of each command, groups and what is in them."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        yield (name,)
        for sub in getattr(command, "commands", {}):
            yield (name, sub)


@pytest.mark.parametrize("words", [(), *every_command()], ids=" ".join)
def test_every_command_has_help(mpbuild, words):
    for option in ("--help", "-h"):
        answer = mpbuild(*words, option)
        assert answer.code == 0
        assert answer.err == ""
        assert answer.out.startswith(f"Usage: {' '.join(('mpbuild', *words))} ")
        assert "  -h, --help " in answer.out


@pytest.mark.parametrize("words", [(), *every_command()], ids=" ".join)
def test_every_command_and_every_option_has_a_help_text(words):
    command = cli
    for word in words:
        command = command.get_command(click.Context(command), word)
    assert command.help
    assert command.help.partition("\n")[0].endswith((".", ":"))
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert silent == []


def test_the_summary_lists_every_command_with_a_line(mpbuild):
    listing = mpbuild("--help").out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listing.splitlines()] == list(COMMANDS)


@pytest.mark.parametrize("words", [("--version",), ("-q", "--version")])
def test_the_version_is_printed(mpbuild, words):
    assert mpbuild(*words) == (0, f"mpbuild {package.__version__}\n", "")


USAGE = {
    "no command": ((), "Missing command."),
    "an unknown command": (("frobnicate",), "no such command 'frobnicate'"),
    "a mistyped command": (("biuld",), "no such command 'biuld'; did you mean build?"),
    "a group alone": (("store",), "Missing command."),
    "an unknown option": (("build", "--nope"), "No such option '--nope'."),
    "an unknown global option": (("--nope", "build"), "No such option '--nope'."),
    "no argument": (("inspect",), "Missing argument 'TARGET|REF'."),
    "too many": (("inspect", "a", "b"), "Got unexpected extra argument (b)"),
    "no number": (("build", "--jobs", "x"), "Invalid value for '--jobs': 'x' is not a valid int"),
    "no jobs": (("build", "--jobs", "0"), "Invalid value for '--jobs': 0 is not in the range"),
    "no accelerator": (
        ("build", "--accelerator", "tpu"),
        "Invalid value for '--accelerator': 'tpu' is not one of 'cpu', 'cuda', 'rocm'.",
    ),
    "no sandbox": (("build", "--sandbox", "docker"), "Invalid value for '--sandbox'"),
    "no schema": (("schema", "dossier"), "Invalid value for '[NAME]': 'dossier' is not one of"),
}


@pytest.mark.parametrize(("words", "message"), USAGE.values(), ids=USAGE)
def test_a_wrong_command_line_exits_2_with_the_reason(mpbuild, words, message):
    answer = mpbuild("--format", "json", *words)
    assert answer.code == 2
    assert answer.err == ""
    assert answer.json["ok"] is False
    (finding,) = answer.findings
    assert finding["code"] == "usage"
    assert finding["message"].startswith(message)
    assert finding["hint"].startswith("see `mpbuild")

    text = mpbuild(*words)
    assert (text.code, text.out) == (2, "")
    assert text.err.startswith(f"error[usage] {message}")


def test_an_unknown_format_is_reported_as_text(mpbuild):
    answer = mpbuild("--format", "yaml", "build")
    assert (answer.code, answer.out) == (2, "")
    assert "'yaml' is not one of 'text', 'json'" in answer.err


SCHEMAS = {
    ("build",): "mpbuild.build/1",
    ("lock",): "mpbuild.lock/1",
    ("lock", "--check"): "mpbuild.lock/1",
    ("fetch",): "mpbuild.fetch/1",
    ("inspect", "//x"): "mpbuild.inspect/1",
    ("run", "//x"): "mpbuild.run/1",
    ("build", "--nope"): "mpbuild.build/1",
    ("store", "nope"): "mpbuild.store/1",
    ("nope",): "mpbuild.usage/1",
}


@pytest.mark.parametrize(("words", "schema"), SCHEMAS.items())
@pytest.mark.parametrize("form", [("--format", "json"), ("--format=json",)])
def test_a_failure_is_one_object_with_the_commands_schema(mpbuild, tmp_path, words, schema, form):
    answer = mpbuild("-C", tmp_path, *form, *words)
    assert answer.code == 2
    assert answer.json["schema"] == schema
    assert list(answer.json) == ["schema", "ok", "findings"]
    assert answer.json["ok"] is False
    assert len(answer.findings) == 1


def test_a_folder_named_like_a_command_is_no_command(mpbuild, tmp_path):
    (tmp_path / "fetch").mkdir()
    answer = mpbuild("--format", "json", "-C", "fetch", "build")
    assert answer.json["schema"] == "mpbuild.build/1"


STATS = ("blobs", "bytes", "derived")
RESULTS = {
    ("store", "stats"): STATS,
    ("store", "verify"): ("missing", "removed"),
    ("store", "gc"): ("removed",),
    ("store", "gc", "--maximum", "1GiB"): ("removed",),
}


@pytest.mark.parametrize(("words", "keys"), RESULTS.items(), ids=" ".join)
def test_a_result_is_one_object_with_the_commands_keys(mpbuild, words, keys):
    answer = mpbuild("--format", "json", *words)
    assert answer.code == 0
    assert answer.err == ""
    assert answer.json["schema"] == "mpbuild.store/1"
    assert answer.json["ok"] is True
    assert answer.json["findings"] == []
    assert set(keys) <= answer.json.keys()


@pytest.mark.parametrize("name", ["model", "workspace"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_schema_itself_is_printed_in_either_format(mpbuild, name, form):
    answer = mpbuild("--format", form, "schema", name)
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "schema_version" in json.dumps(answer.json)


@pytest.mark.parametrize("name", ["contract", "environment", "graph", "model"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_schema_of_a_document_of_the_dossier_is_printed(mpbuild, name, form):
    answer = mpbuild("--format", form, "schema", f"dossier-{name}")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert f"mpbuild.dossier.{name}/1" in json.dumps(answer.json)


def test_locks_that_answer_to_their_spec_are_good(in_workspace, mpbuild, workspace):
    answer = in_workspace("lock", "--check")
    assert answer.code == 0
    assert answer.json == {"schema": "mpbuild.lock/1", "ok": True, "locks": [], "findings": []}
    text = mpbuild("-C", workspace, "lock", "--check")
    assert text.code == 0
    assert "up to date" in text.out


def test_offline_and_with_nothing_fetched_the_world_is_to_blame(in_workspace):
    answer = in_workspace("build", "--offline")
    assert answer.code == 3
    assert {finding["code"] for finding in answer.findings} == {"fetch-failed"}
    assert answer.err == ""


def test_a_hint_of_several_findings_is_printed_once(mpbuild, workspace):
    answer = mpbuild("-C", workspace, "build", "--offline")
    assert answer.err.count("is not in the store") > 40
    assert answer.err.count("run `mpbuild fetch`") == 1
    assert answer.err.splitlines()[-1] == "  hint: run `mpbuild fetch` with access to the network"


def test_two_targets_have_no_one_output(in_workspace, workspace):
    other = workspace / "other"
    other.mkdir()
    (other / "model.toml").write_text((workspace / "examples/digits/model.toml").read_text())
    answer = in_workspace("build", "--output", "out")
    assert answer.code == 2
    (finding,) = answer.findings
    assert finding["code"] == "usage"
    assert "//examples/digits, //other" in finding["message"]
    assert not (workspace / "out").exists()


def test_an_accelerator_that_the_spec_lacks_is_refused(in_workspace, model):
    tables = re.compile(r"^\[accelerators\.cuda\]\n(?:[a-z].*\n)+", re.MULTILINE)
    text, count = tables.subn("", model.read_text())
    assert count == 1
    model.write_text(text)
    answer = in_workspace("build", "--accelerator", "cuda")
    assert answer.code == 2
    (finding,) = answer.findings
    assert finding["where"] == "examples/digits/model.toml"
    assert finding["message"] == "//examples/digits has no accelerator cuda"
    assert finding["hint"] == "accelerators of this target: cpu, rocm"


NAMES = {
    "//examples/digit": "did you mean //examples/digits?",
    "//nothing/like/it": "targets: //examples/digits",
    "//vision/...": "targets: //examples/digits",
    "examples": "did you mean //examples/digits?",
    "nowhere": "targets: //examples/digits",
}


@pytest.mark.parametrize(("name", "hint"), NAMES.items())
def test_a_target_that_is_none_is_answered_with_the_nearest(in_workspace, name, hint):
    answer = in_workspace("build", name)
    assert answer.code == 2
    (finding,) = answer.findings
    assert finding["hint"] == hint


@pytest.mark.parametrize("name", ["//Examples//digits", "//../x", "///", "//a/.../b"])
def test_a_target_that_is_no_label_is_refused(in_workspace, name):
    answer = in_workspace("build", name)
    assert answer.code == 2
    assert answer.findings[0]["message"].startswith("not a label")


def test_a_folder_outside_of_the_workspace_is_no_target(in_workspace, tmp_path):
    answer = in_workspace("build", tmp_path)
    assert answer.code == 2
    assert "outside of the workspace" in answer.findings[0]["message"]


@pytest.mark.parametrize("ref", ["nothing", "nothing@sha256:1", "registry.example/x:1"])
@pytest.mark.parametrize("command", ["inspect", "run"])
def test_a_reference_to_nothing_is_refused(in_workspace, command, ref):
    answer = in_workspace(command, ref)
    assert answer.code == 2
    assert f"{ref} is neither a target" in answer.findings[0]["message"]


def test_a_digest_that_the_store_lacks_is_reported(in_workspace):
    digest = f"sha256:{0:064x}"
    answer = in_workspace("inspect", digest)
    assert answer.code == 2
    (finding,) = answer.findings
    assert finding["message"] == f"the store has no package {digest}"
    assert finding["hint"] == "build it, or name the folder of its OCI layout"


def test_an_invalid_digest_is_reported(in_workspace):
    answer = in_workspace("inspect", "sha256:abc")
    assert answer.code == 2
    assert answer.findings[0]["message"] == "not a digest: 'sha256:abc'"


def test_outside_of_a_workspace_a_hint_explains_how_to_create_one(mpbuild, tmp_path):
    answer = mpbuild("--format", "json", "build")
    assert answer.code == 2
    (finding,) = answer.findings
    assert finding["where"] == str(tmp_path)
    assert finding["message"] == "no mpbuild.toml here or in a parent folder"


def test_a_size_that_is_none_is_refused(mpbuild):
    answer = mpbuild("--format", "json", "store", "gc", "--maximum", "lots")
    assert answer.code == 2
    assert answer.findings[0]["message"] == "not a size: 'lots'"


COLOURED = "\x1b[31merror[usage]\x1b[0m"


@pytest.mark.parametrize(
    ("options", "variables", "start"),
    [
        ((), {}, "error[usage]"),
        (("--color", "auto"), {}, "error[usage]"),
        (("--color", "never"), {}, "error[usage]"),
        (("--color", "always"), {}, COLOURED),
        (("--color", "always"), {"NO_COLOR": "1"}, COLOURED),
    ],
)
@pytest.mark.parametrize("words", [("nope",), ("build", "--nope")])
def test_color_follows_options_variables_and_terminal(mpbuild, options, variables, start, words):
    answer = mpbuild(*options, *words, variables=variables)
    assert answer.err.startswith(start)


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_has_colour_unless_it_is_not_wanted(mpbuild, variables, coloured):
    controller, terminal = os.openpty()
    try:
        mpbuild("nope", variables={"TERM": "xterm", **variables}, stderr=terminal)
        said = os.read(controller, 4096).decode()
    finally:
        os.close(terminal)
        os.close(controller)
    assert said.startswith(COLOURED if coloured else "error[usage]")


def test_a_traceback_is_shown_to_who_asks_for_it(mpbuild):
    answer = mpbuild("-v", "--format", "json", "build", shows_traceback=True)
    assert answer.code == 2
    assert len(answer.findings) == 1
    assert "InputError" in answer.err


def test_quiet_prints_errors_only(mpbuild, workspace):
    answer = mpbuild("-q", "-C", workspace, "build", "--offline")
    assert answer.code == 3
    assert all(line.startswith(("error[", "  hint:")) for line in answer.err.splitlines())


def test_a_bug_exits_70_with_a_hint_what_to_report(mpbuild, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import mpbuild.cli.session as s\n"
        "def broken(self):\n    raise KeyError('no such thing')\n"
        "s.Session.root = property(broken)\n"
    )
    broken = {"PYTHONPATH": str(tmp_path)}
    answer = mpbuild("--format", "json", "build", variables=broken)
    assert answer.code == 70
    assert answer.err == ""
    (finding,) = answer.findings
    assert finding["code"] == "internal"
    assert "KeyError: 'no such thing'" in finding["message"]
    assert "report the traceback" in finding["hint"]
    text = mpbuild("build", variables=broken)
    assert text.code == 70
    assert text.err.startswith(f"error[internal] this is a bug in mpbuild {package.__version__}")


def test_the_installed_script_is_the_same_program():
    script = Path(sys.executable).with_name("mpbuild")
    if not script.is_file():
        pytest.skip(f"no mpbuild is installed in {script.parent}")
    told = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"mpbuild {package.__version__}\n"
