"""Every command that the documents show works, in the order in which they show them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.making.example import copy_store

ROOT = Path(__file__).parents[2]
PLACES = ("README.md", "docs/*.md", "examples/*/README.md")
LONGEST_S = 1800
BLOCK = re.compile(
    r"(?:^Save this as `(?P<file>[^`\n]+)`:\n\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Save(NamedTuple):
    """A file that the reader saves."""

    line: int
    path: str
    text: str


class Command(NamedTuple):
    """A command that the reader types, and what the document shows of its standard output."""

    line: int
    text: str
    shown: str = ""


class Outcome(NamedTuple):
    """How a step went; ``status`` is None where an earlier one failed."""

    status: int | None
    stdout: str = ""
    stderr: str = ""


def read_steps(text):
    """What the reader of a document does, in order."""
    steps = []
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start("body")) + 1
        if block["file"]:
            steps.append(Save(line, block["file"], block["body"]))
        elif block["language"] == "console":
            steps += read_commands(block["body"], line)
    return steps


def read_commands(body, first_line):
    """The commands of a console block; ``> `` continues one, what follows it is its output."""
    commands = []
    for number, line in enumerate(body.splitlines(), first_line):
        if line.startswith("$ "):
            commands.append(Command(number, line[2:]))
            continue
        if not commands:
            raise ValueError(f"line {number}: a console block begins with a command, `$ …`")
        last = commands.pop()
        if (line == ">" or line.startswith("> ")) and not last.shown:
            commands.append(last._replace(text=f"{last.text}\n{line[2:]}"))
        else:
            commands.append(last._replace(shown=f"{last.shown}{line}\n"))
    return commands


def matches(shown, stdout):
    """Whether standard output is what a document shows; ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("..."))
    return not shown or re.fullmatch(pattern, stdout.strip(), re.DOTALL) is not None


def follow(steps, folder, environment):
    """Do ``steps`` in one shell session in ``folder``, up to the first that fails."""
    results = folder.with_name("results")
    results.mkdir()
    script = []
    for number, step in enumerate(steps):
        base = results / str(number)
        action = step.text
        if isinstance(step, Save):
            base.with_suffix(".text").write_text(step.text)
            action = f"mkdir -p '{Path(step.path).parent}' && cp '{base}.text' '{step.path}'"
        script.append(f"{{\n{action}\n}} >'{base}.out' 2>'{base}.err'; status=$?\n")
        script.append(f"echo $status >'{base}.status'; [[ $status == 0 ]] || exit\n")
    subprocess.run(
        ["bash", "-c", "".join(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=LONGEST_S,
        check=False,
    )
    return [outcome(results / str(number)) for number in range(len(steps))]


def outcome(base):
    """What a step left."""
    status = base.with_suffix(".status")
    if not status.is_file():
        return Outcome(None)
    out, err = base.with_suffix(".out"), base.with_suffix(".err")
    return Outcome(int(status.read_text()), out.read_text(), err.read_text())


@pytest.fixture
def clone(checkout, checkout_files, tmp_path):
    """A copy of the checkout's files that is a git repository of its own."""
    folder = tmp_path / "clone"
    for name in checkout_files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(checkout / name, target)
    quiet = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=Reader", "-c", "user.email=reader@example.org")
    for command in (("init",), ("add", "--all"), (*who, "commit", "--message", "A clone")):
        subprocess.run(["git", *command], cwd=folder, env=quiet, check=True, capture_output=True)
    return folder


@pytest.fixture
def environment(run_folder, shared_store):
    """That of somebody with mpbuild on PATH; all documents of a test run share a store."""
    programs = Path(sys.executable).parent
    if not (programs / "mpbuild").is_file():
        pytest.skip(f"no mpbuild is installed in {programs}")
    of_make = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    return {name: value for name, value in os.environ.items() if name not in of_make} | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "MPBUILD_STORE": str(shared_store),
        "PEX_ROOT": str(run_folder / "documented-pex"),
        "XDG_STATE_HOME": str(run_folder / "documented-state"),
    }


@pytest.fixture
def interpreter(environment):
    """Skip where the Python that the documented PEX files are for is not on PATH."""
    python = shutil.which("python3.11", path=environment["PATH"])
    started = python and subprocess.run([python, "-c", ""], check=False, capture_output=True)
    if not started or started.returncode:
        pytest.skip("no python3.11 is on PATH, which the documented PEX files are for")


def documents():
    """Every document with something to do, by its path."""
    paths = sorted(path for place in PLACES for path in ROOT.glob(place))
    return [str(path.relative_to(ROOT)) for path in paths if read_steps(path.read_text())]


@pytest.mark.network
@pytest.mark.sandbox
@pytest.mark.parametrize("document", documents())
def test_every_documented_command_works(document, clone, environment, digits, tmp_path, request):
    steps = read_steps((ROOT / document).read_text())
    if any("store gc" in step.text for step in steps):
        # It needs the store for itself alone.
        copy_store(digits, tmp_path / "store")
        environment["MPBUILD_STORE"] = str(tmp_path / "store")
    if any(".pex/pex" in step.text for step in steps):
        request.getfixturevalue("interpreter")
    for step, went in zip(steps, follow(steps, clone, environment), strict=True):
        place = f"{document}:{step.line}: {step.text}"
        assert went.status == 0, f"{place}\nexits {went.status}\n{went.stdout}{went.stderr}"
        if isinstance(step, Command):
            assert matches(step.shown, went.stdout), f"{place}\nprints\n{went.stdout}"


@pytest.mark.parametrize("document", documents())
def test_no_document_takes_more_of_the_example_than_its_cpu_variant(document):
    """The wheels for CUDA have 2 GB, and whoever follows a page has not asked for them."""
    steps = read_steps((ROOT / document).read_text())
    taking = [s for s in steps if re.search(r"mpbuild (build|fetch)\b.*//examples/digits", s.text)]
    assert [s for s in taking if "--accelerator cpu" not in s.text] == []


SAMPLE = """Text.

Save this as `a/b.txt`:

```text
content
```

```console
$ cd a
$ for name in b; do
>
>   cat $name.txt
> done
con...
$ cat missing.txt
$ echo never
```
"""


def test_a_document_is_followed_in_one_session_up_to_the_first_failure(tmp_path):
    steps = read_steps(SAMPLE)
    assert [step.line for step in steps] == [6, 10, 11, 16, 17]
    folder = tmp_path / "folder"
    folder.mkdir()
    went = follow(steps, folder, {"PATH": os.environ["PATH"]})
    assert [one.status for one in went] == [0, 0, 0, 1, None]
    assert (steps[2].shown, went[2].stdout) == ("con...\n", "content\n")
    assert "missing.txt" in went[3].stderr


@pytest.mark.parametrize(
    ("shown", "stdout", "expected"),
    [
        ("", "anything", True),
        ("...\n", "anything", True),
        ("a\n", "a\n", True),
        ("a\n", "b\n", False),
        ("a ... c\n...\n", "a b c\nd\ne\n", True),
        ("a.c\n", "abc\n", False),
        ("a...\n", "b a\n", False),
    ],
)
def test_dots_stand_for_anything_and_the_rest_for_itself(shown, stdout, expected):
    assert matches(shown, stdout) is expected


def test_a_console_block_that_begins_with_output_is_refused():
    with pytest.raises(ValueError, match="line 7: a console block begins with a command"):
        read_commands("output\n", 7)
