"""Tar headers as written, paths that are safe, and trees that are the same everywhere."""

import io
import re
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.formats.archive import tar, untar
from mpbuild.formats.archive.tar import TarEntry
from mpbuild.formats.archive.tree import check_tree, safe_path

LONG = "d" * 60 + "/" + "e" * 60 + "/" + "f" * 60

SAMPLES = [
    TarEntry("a", "file", 0o644, 5),
    TarEntry("bin/run", "file", 0o755, 0),
    TarEntry("tmp", "directory", 0o1777),
    TarEntry("lib/x", "symlink", 0o777, 0, "../bin/run"),
    TarEntry("lib/y", "hardlink", 0o644, 0, "a"),
    TarEntry(LONG, "file", 0o644, 1000),
    TarEntry("d" * 99, "directory", 0o755),
    TarEntry("d" * 100, "file", 0o644),
    TarEntry("p" * 155 + "/" + "n" * 100, "file", 0o644),
    TarEntry("p" * 50 + "/" + "n" * 99, "directory", 0o755),
]

EXTENDED = [
    TarEntry("p" * 156 + "/n", "file", 0o644),
    TarEntry("n" * 101, "file", 0o644),
    TarEntry("d" * 100, "directory", 0o755),
    TarEntry("ärger/日本", "file", 0o644, 3),
    TarEntry("s", "symlink", 0o777, 0, "t" * 101),
    TarEntry("s", "symlink", 0o777, 0, "zürich"),
    TarEntry(LONG, "symlink", 0o777, 0, "x/" * 80 + "y"),
    TarEntry("h", "hardlink", 0o644, 0, "n" * 120),
    TarEntry("big", "file", 0o644, 8 << 30),
]


def archive(*entries: TarEntry) -> bytes:
    members = [tar.header(entry) + bytes(entry.size) + tar.padding(entry.size) for entry in entries]
    return b"".join(members) + tar.END


def as_entry(member: tarfile.TarInfo) -> TarEntry:
    kinds = {b"0": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}
    return TarEntry(member.name, kinds[member.type], member.mode, member.size, member.linkname)


def parsed(header: bytes) -> tarfile.TarInfo:
    return tarfile.TarFile(fileobj=io.BytesIO(header + tar.END)).next()


@pytest.mark.parametrize("entry", SAMPLES + EXTENDED, ids=lambda entry: entry.path[:20])
def test_python_reads_every_header_as_it_was_meant(entry):
    member = parsed(tar.header(entry))
    assert as_entry(member) == entry
    assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
    assert member.mtime == 315532800


@pytest.mark.parametrize("entry", SAMPLES, ids=lambda entry: entry.path[:20])
def test_a_header_that_fits_is_the_one_that_gnu_tar_writes(entry, tmp_path):
    path = tmp_path / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [entry.path]
    if entry.kind == "directory":
        path.mkdir()
    elif entry.kind == "symlink":
        path.symlink_to(entry.target)
    elif entry.kind == "hardlink":
        (tmp_path / entry.target).touch()
        path.hardlink_to(tmp_path / entry.target)
        names.insert(0, entry.target)
    else:
        path.write_bytes(bytes(entry.size))
    if entry.kind != "symlink":
        path.chmod(entry.mode)
    command = ["tar", "-C", tmp_path, "--format=ustar", "--mtime=@315532800", "--owner=0"]
    command += ["--group=0", "--numeric-owner", "--no-recursion", "-cf", "-", *names]
    written = subprocess.run(command, capture_output=True, check=True).stdout
    assert written[512 * (len(names) - 1) :][:512] == tar.header(entry)


def test_gnu_tar_lists_what_was_written(tmp_path):
    path = tmp_path / "all.tar"
    path.write_bytes(archive(*SAMPLES, *EXTENDED[:-1]))
    command = ["tar", "--numeric-owner", "--utc", "--full-time", "-tvf", path]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    lines = done.stdout.splitlines()
    assert not done.stderr
    assert lines[0] == "-rw-r--r-- 0/0               5 1980-01-01 00:00:00 a"
    assert lines[3].endswith("lib/x -> ../bin/run")
    assert lines[4].endswith("lib/y link to a")
    assert len(lines) == len(SAMPLES) + len(EXTENDED) - 1


def test_pax_is_written_only_where_ustar_has_no_room():
    assert {len(tar.header(entry)) for entry in SAMPLES} == {512}
    assert {len(tar.header(entry)) for entry in EXTENDED} == {1536}


def test_an_extended_record_counts_its_own_digits():
    lengths = set()
    for extra in range(80, 130):
        block = tar.header(TarEntry("ü" + "x" * extra, "file", 0o644))
        record = block[512:1024].rstrip(b"\0")
        assert int(record.partition(b" ")[0]) == len(record)
        lengths.add(len(str(len(record))))
    assert lengths == {2, 3}


names = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"),
    min_size=1,
    max_size=60,
).filter(lambda name: name not in (".", "..") and not name.startswith(".wh."))
paths = st.lists(names, min_size=1, max_size=6).map("/".join)


@settings(max_examples=80)
@given(paths, st.sampled_from([0o644, 0o755]), st.integers(0, 2000))
def test_what_is_written_reads_back_by_python_and_by_ours(path, mode, size):
    entry = TarEntry(path, "file", mode, size)
    data = archive(entry)
    assert [as_entry(member) for member in tarfile.TarFile(fileobj=io.BytesIO(data))] == [entry]
    assert [(read, b"".join(content)) for read, content in untar.read([data])] == [
        (entry, bytes(size))
    ]


def refused(call, *arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    assert caught.value.findings[0].code == "layer-unsafe"
    return str(caught.value)


@settings(max_examples=60)
@given(paths)
def test_a_plain_path_is_safe_and_stays_what_it_is(path):
    assert safe_path(path) == path
    assert safe_path(f"././{path}") == path


@settings(max_examples=300)
@given(st.text(st.sampled_from("..//.wha~ \\\n\x7fü"), max_size=12))
def test_a_path_is_safe_exactly_when_every_name_in_it_is(path):
    names = re.sub(r"^(\./)+", "", path).split("/")
    safe = all(
        name not in ("", ".", "..")
        and not name.startswith(".wh.")
        and not set(name) & set("\\\n\x7f")
        for name in names
    )
    if safe:
        assert safe_path(path) == "/".join(names)
    else:
        refused(safe_path, path)


@pytest.mark.parametrize(
    ("path", "telling"),
    [
        ("", "the name ''"),
        ("./", "the name ''"),
        (".", "the name '.'"),
        ("/etc/passwd", "absolute"),
        (".//etc/passwd", "absolute"),
        ("..", "the name '..'"),
        ("a/../b", "the name '..'"),
        ("a/..", "the name '..'"),
        ("a//b", "the name ''"),
        ("a/./b", "the name '.'"),
        ("a/", "the name ''"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("a\x85", "control character"),
        ("..\\a", "backslash"),
        (".wh.a", "whiteout"),
        ("a/.wh..wh..opq", "whiteout"),
        (".wh.a/b", "whiteout"),
        ("ü" * 128, "longer than 255"),
        ("a/" * 2048 + "b", "longer than 4096"),
        ("\udc80", "not UTF-8"),
    ],
)
def test_an_unsafe_path_is_refused(path, telling):
    assert telling in refused(safe_path, path)


def file(path: str) -> TarEntry:
    return TarEntry(path, "file", 0o644)


def link(path: str, target: str) -> TarEntry:
    return TarEntry(path, "symlink", 0o777, 0, target)


def hard(path: str, target: str) -> TarEntry:
    return TarEntry(path, "hardlink", 0o644, 0, target)


@pytest.mark.parametrize(
    ("entries", "telling"),
    [
        pytest.param([file("a"), file("a")], "duplicate path a", id="twice"),
        pytest.param(
            [file("A/x"), file("a/y")],
            "differ only in case or Unicode form",
            id="parents in another case",
        ),
        pytest.param(
            [file("README"), file("Readme")],
            "differ only in case or Unicode form",
            id="in another case",
        ),
        pytest.param(
            [file("straße"), file("STRASSE")],
            "differ only in case or Unicode form",
            id="case folding",
        ),
        pytest.param(
            [file("e\u0301"), file("\u00e9")],
            "differ only in case or Unicode form",
            id="in another form",
        ),
        pytest.param([file("a"), file("a/b")], "a, which is not a directory", id="under a file"),
        pytest.param([file("a/b/c"), file("a")], "a, which is not a directory", id="file last"),
        pytest.param([link("a", "b"), file("a/c")], "which is not a directory", id="under a link"),
        pytest.param([hard("a", "b")], "not an earlier file", id="hard link to nothing"),
        pytest.param([hard("a", "b"), file("b")], "not an earlier file", id="hard link to later"),
        pytest.param([hard("a", "a")], "not an earlier file", id="hard link to itself"),
        pytest.param(
            [link("b", "c"), hard("a", "b")], "not an earlier file", id="hard link to a link"
        ),
        pytest.param(
            [TarEntry("d", "directory", 0o755), hard("a", "d")],
            "not an earlier file",
            id="to a directory",
        ),
        pytest.param([link("a", "..")], "leaves the root", id="link out"),
        pytest.param([link("a/b", "../../c")], "leaves the root", id="link further out"),
        pytest.param([link("a/b", "c/../../../d")], "leaves the root", id="link out by a detour"),
        pytest.param(
            [link("a/b/q", "/"), link("x", "a/b/q/../../etc")],
            "leaves the root",
            id="out by a link",
        ),
        pytest.param([link("a", "")], "is not a path", id="empty link"),
        pytest.param([link("a", "b\0c")], "is not a path", id="link with a NUL"),
        pytest.param([link("a", "x" * 4097)], "is not a path", id="endless link"),
    ],
)
def test_a_tree_that_is_not_the_same_everywhere_is_refused(entries, telling):
    assert telling in refused(check_tree, entries, absolute_links=True)


def test_absolute_links_are_for_debian_packages_only():
    links = [link("a", "/usr/bin/b")]
    check_tree(links, absolute_links=True)
    assert "is absolute" in refused(check_tree, links)
    assert "leaves the root" in refused(check_tree, [link("a", "/../b")], absolute_links=True)


def test_an_ordinary_tree_is_let_pass():
    check_tree(
        [
            TarEntry("usr", "directory", 0o755),
            file("usr/lib/a.so.1"),
            hard("usr/lib/b.so.1", "usr/lib/a.so.1"),
            hard("usr/lib/c.so.1", "usr/lib/b.so.1"),
            link("usr/lib/a.so", "./a.so.1"),
            link("lib", "usr/lib"),
            link("usr/share/x/y", "../../lib/a.so"),
        ]
    )
