"""The script that compiles an environment: which sources, into which bytes, for all wheels."""

import importlib.util
import io
import marshal
import os
import resource
import subprocess
import sys
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.engine.graph import Ref
from mpbuild.formats.archive import tar
from mpbuild_rules import bytecode, bytecode_script

TAG = sys.implementation.cache_tag
SOUND = b"def answer():\n    return 42\n"


class Tree:
    """A folder of sources, and the script's output for it."""

    def __init__(self, folder):
        self.root = folder / "root"
        self._archives = folder
        self.root.mkdir()

    def put(self, path, source=SOUND):
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source)
        return place

    def run(self, *folders, interpreter=sys.executable, **settings):
        """Runs the script as the action does; returns the process and the archive's bytes."""
        archive = self._archives / f"{len(list(self._archives.iterdir()))}.tar"
        words = bytecode.rule("cpu", "3.11", ()).action.command
        command = [sys.executable, *words[1 : words.index(bytecode.SCRIPT) + 1]]
        done = subprocess.run(
            [*command, interpreter, archive, *(folders or [self.root])],
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"},
            check=False,
            **settings,
        )
        return done, archive.read_bytes() if archive.exists() else b""

    def compiled(self, *folders):
        """The bytecode by its path below the tree."""
        done, archive = self.run(*folders)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        prefix = f"{self.root}/".lstrip("/")
        with tarfile.open(fileobj=io.BytesIO(archive)) as found:
            return {
                member.name.removeprefix(prefix): found.extractfile(member).read()
                for member in found
                if member.isfile()
            }


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


# ---- what gets bytecode


def test_every_module_gets_bytecode_where_its_interpreter_looks_for_it(tree):
    for path in ("top.py", "demo/__init__.py", "demo/deep/er/a.b.py", "ümlaut/ä.py", "odd-name.py"):
        tree.put(path)
    tree.put("demo/data.txt")
    tree.put("demo-1.0.dist-info/RECORD")
    assert sorted(tree.compiled()) == sorted(
        [
            f"__pycache__/top.{TAG}.pyc",
            f"__pycache__/odd-name.{TAG}.pyc",
            f"demo/__pycache__/__init__.{TAG}.pyc",
            f"demo/deep/er/__pycache__/a.b.{TAG}.pyc",
            f"ümlaut/__pycache__/ä.{TAG}.pyc",
        ]
    )
    own = importlib.util.cache_from_source(str(tree.root / "demo/deep/er/a.b.py"))
    assert own == f"{tree.root}/demo/deep/er/__pycache__/a.b.{TAG}.pyc"


def test_bytecode_is_taken_without_a_look_at_the_source(tree):
    source = tree.put("demo.py", b"import sys\nanswer = 42\n")
    for path, pyc in tree.compiled().items():
        tree.put(path, pyc)
    source.write_bytes(b"answer = 'changed'\n")
    code = "import demo; print(demo.answer)"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=tree.root, capture_output=True, check=True)
    assert done.stdout == b"42\n"


def test_bytecode_names_its_source_by_path_and_by_hash(tree):
    source = tree.put("demo/a.py")
    pyc = tree.compiled()[f"demo/__pycache__/a.{TAG}.pyc"]
    assert pyc[:4] == importlib.util.MAGIC_NUMBER
    assert pyc[4:8] == b"\1\0\0\0"
    assert pyc[8:16] == importlib.util.source_hash(SOUND)
    assert marshal.loads(pyc[16:]).co_filename == str(source)


@pytest.mark.parametrize(
    "source",
    [
        b"def {{ template }}():\n    pass\n",
        b"print 'another Python'\n",
        b"name = '\xff'\n",
        b"# coding: no-such-coding\n",
        b"a = 1\0\n",
        b"x = " + b"-" * 100_000 + b"1\n",
        b"x = " + b"(" * 1000 + b")" * 1000 + b"\n",
        b"x = a" + b".b" * 100_000 + b"\n",
        b"return 1\n",
        b"\xff\xfe\0\0",
    ],
)
def test_a_source_that_does_not_compile_is_left_out_silently(tree, source):
    tree.put("demo/template.py", source)
    tree.put("demo/sound.py")
    assert list(tree.compiled()) == [f"demo/__pycache__/sound.{TAG}.pyc"]


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"# coding: latin-1\nname = '\xe4'\n",
        b"\xef\xbb\xbfname = 1\n",
        b"name = '\\udcff'\n",
        b"a = 1\r\nb = 2\r\n",
        b"x = [" + b"'text',\n" * 100_000 + b"]\n",
        b"import re\nre.compile('\\d')\nassert (1, 'always true')\nx = 1 is 1\n",
    ],
    ids=["empty", "latin-1", "mark", "surrogate", "crlf", "long", "warnings"],
)
@pytest.mark.filterwarnings("ignore:invalid escape", "ignore:.*always true", "ignore:.is. with")
def test_an_unusual_source_compiles_without_a_word(tree, source):
    tree.put("demo/a.py", source)
    (pyc,) = tree.compiled().values()
    assert compile(source, "", "exec").co_consts == marshal.loads(pyc[16:]).co_consts


def test_links_are_left_out_and_not_followed(tree, tmp_path):
    """A module that is kept elsewhere, like Debian's in /etc, is meant to be edited there."""
    target = tree.put("real/a.py")
    (tree.root / "link.py").symlink_to(target)
    (tree.root / "real/link.py").symlink_to(target)
    (tree.root / "dangling.py").symlink_to("nowhere")
    (tree.root / "linked").symlink_to(tree.root / "real")
    (tree.root / "real/up").symlink_to("..")
    assert list(tree.compiled()) == [f"real/__pycache__/a.{TAG}.pyc"]


def test_bytecode_that_a_wheel_brings_stays_the_only_one(tree):
    tree.put("demo/a.py")
    tree.put("demo/b.py")
    tree.put(f"demo/__pycache__/a.{TAG}.pyc", b"the wheel's")
    tree.put("demo/__pycache__/module.py")
    assert list(tree.compiled()) == [f"demo/__pycache__/b.{TAG}.pyc"]


@pytest.mark.parametrize("make", [lambda p: p.write_bytes(b""), lambda p: p.symlink_to("real")])
def test_no_bytecode_goes_where_a_file_or_link_has_the_folders_name(tree, make):
    tree.put("real/a.py")
    tree.put("demo/a.py")
    make(tree.root / "demo/__pycache__")
    assert list(tree.compiled()) == [f"real/__pycache__/a.{TAG}.pyc"]


def test_a_name_to_which_nothing_can_be_added_is_left_out(tree):
    fits = 255 - len(f".{TAG}.pyc")
    tree.put(f"{'a' * fits}.py")
    tree.put(f"{'b' * (fits + 1)}.py")
    tree.put(f"{'ü' * (fits // 2 + 1)}.py")
    assert list(tree.compiled()) == [f"__pycache__/{'a' * fits}.{TAG}.pyc"]


def test_a_source_that_would_take_all_memory_is_left_out(tree):
    with tree.put("huge.py").open("ab") as file:
        file.truncate(bytecode_script.LARGEST + 1)
    tree.put("sound.py")
    assert list(tree.compiled()) == [f"__pycache__/sound.{TAG}.pyc"]


def test_a_folder_that_is_not_there_has_no_modules(tree):
    """Such as site-packages of an environment without wheels."""
    tree.put("lib/a.py")
    found = tree.compiled(tree.root / "lib", tree.root / "nowhere")
    assert list(found) == [f"lib/__pycache__/a.{TAG}.pyc"]


def test_without_modules_the_tar_is_empty(tree):
    done, archive = tree.run()
    assert (done.returncode, archive) == (0, tar.END)


# ---- the same bytes


def packages(tree):
    """Modules that share names and constants, so that earlier compilations could show."""
    for package in "abcdef":
        for module in range(12):
            lines = (
                f"name_{i % 7} = {{'shared', 'k{i % 5}', {i % 3}}}\nx{i} = (None, 'k{i}', {i * 99})"
                f"\ndef f{i}(a, *, name_{i % 7}=1): return a in {{'shared', 'k{i % 5}', None}}"
                for i in range(module * 3)
            )
            tree.put(f"{package}/m{module}.py", "\n".join(lines).encode())
            tree.put(f"m{package}{module}.py", f"name_{module} = '{package}'".encode())


def test_the_bytes_are_the_same_on_one_processor_and_on_all(tree):
    packages(tree)
    one = min(os.sched_getaffinity(0))
    archives = {
        Digest.of(tree.run(preexec_fn=before)[1])
        for before in (None, lambda: os.sched_setaffinity(0, {one}), None)
    }
    assert len(archives) == 1


def test_another_package_leaves_the_bytes_of_the_others_as_they_are(tree):
    packages(tree)
    before = tree.compiled()
    tree.put("aa/shared.py", b"shared = k1 = {'shared', 'k1', 'k2', 297}\n" * 20)
    after = tree.compiled()
    assert {path: after[path] for path in before} == before


def test_the_tar_is_the_one_that_a_layer_is(tree):
    for path in ("a/b.py", f"a/{'long/' * 40}c.py", f"a/{'longer' * 20}.py", "ä/ö.py", "a-b/c.py"):
        tree.put(path)
    compiled = {f"{tree.root}/{path}".lstrip("/"): pyc for path, pyc in tree.compiled().items()}
    folders = {path[:end] for path in compiled for end, c in enumerate(path) if c == "/"}
    expected = b""
    for path in sorted({*compiled, *folders}, key=str.encode):
        data = compiled.get(path, b"")
        kind, mode = ("directory", 0o755) if path in folders else ("file", 0o644)
        expected += tar.header(tar.TarEntry(path, kind, mode, len(data))) + data
        expected += tar.padding(len(data))
    assert len(compiled) == 5
    assert tree.run()[1] == expected + tar.END


NAMES = st.text(st.sampled_from("ab/ü."), min_size=1, max_size=300) | st.builds(
    lambda length, slash: ("a" * slash + "/" + "b" * length)[:length],
    st.integers(1, 300),
    st.integers(1, 160),
)


@settings(max_examples=300)
@given(NAMES.filter(lambda name: not name.endswith("/")), st.integers(0, 1 << 33))
def test_headers_are_those_of_every_layer(name, size):
    script = bytecode_script.header
    size %= 8**11
    assert script(name, b"0", 0o644, size) == tar.header(tar.TarEntry(name, "file", 0o644, size))
    folder = tar.TarEntry(name, "directory", 0o755)
    assert script(f"{name}/", b"5", 0o755, 0) == tar.header(folder)


# ---- failures, and the action


def test_another_interpreter_than_the_images_makes_nothing(tree):
    """Without a sandbox, the script would compile the host's standard library."""
    tree.put("a.py")
    done, archive = tree.run(interpreter="/opt/venv/bin/python")
    assert (done.returncode, archive) == (1, b"")
    assert done.stderr.startswith("bytecode is made by /opt/venv/bin/python of an image")


def test_a_process_that_fails_leaves_no_bytecode_at_all(tree):
    tree.put("demo/a.py")
    limit = resource.RLIMIT_FSIZE
    done, archive = tree.run(preexec_fn=lambda: resource.setrlimit(limit, (10, 10)))
    assert (done.returncode, archive) == (1, b"")
    assert f"the process that compiled {tree.root}/demo ended with" in done.stderr


def test_the_action_has_the_environments_layers_and_one_output():
    root = (Ref("base", "layer"), Ref("numpy", "layer"))
    task = bytecode.rule("cuda", "3.13", root)
    assert (task.name, task.root, task.inputs) == ("bytecode:cuda", root, {})
    action = task.action
    assert (action.rule, action.version, action.executor) == ("bytecode", 1, "sandbox")
    assert (action.outputs, action.inputs) == (("bytecode.tar",), {})
    assert action.environment["PYTHONHASHSEED"] == "0"
    assert action.command[-4:] == (
        "/opt/venv/bin/python",
        "{out}/bytecode.tar",
        "/usr/lib/python3.13",
        "/opt/venv/lib/python3.13/site-packages",
    )


def test_environments_of_the_same_layers_share_one_action():
    assert bytecode.rule("cpu", "3.11", ()).action == bytecode.rule("cuda", "3.11", ()).action


def test_the_script_is_left_as_it_is_where_outputs_are_put_in():
    assert "{out}" not in bytecode.SCRIPT
