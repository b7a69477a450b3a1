"""Debian packages: read whole, or refused."""

import lzma
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.errors import InputError
from mpbuild.formats.archive import gzip
from mpbuild.formats.debian.deb import DebEntry, read_deb

END = bytes(1024)


@pytest.mark.parametrize("compression", ["xz", "gz", ""])
def test_a_package_says_what_it_is_and_holds(make, compression):
    scripts = {"postinst": "#!/bin/sh\nldconfig\n", "md5sums": "", "triggers": ""}
    deb = read_deb(make.deb(scripts=scripts, compression=compression))
    assert (deb.name, deb.version, deb.architecture) == ("demo", "1:2.0-1+b1", "amd64")
    assert list(deb.control) == ["Package", "Version", "Architecture", "Maintainer", "Description"]
    assert deb.control["Description"] == "a package\n with a longer text\n .\n and its end"
    assert deb.scripts == {"postinst": "#!/bin/sh\nldconfig\n"}
    assert deb.entries == (
        DebEntry("usr", "directory", 0o644, "", b""),
        DebEntry("usr/data", "file", 0o755, "", b"content"),
    )


def test_what_dpkg_packs_reads_as_it_was(tmp_path):
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not installed")
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: demo\nVersion: 1.0\nArchitecture: all\nMaintainer: N <n@example.org>\n"
        "Description: short\n long\n"
    )
    (root / "DEBIAN/postinst").write_text("#!/bin/sh\nupdate-alternatives --install a b c 1\n")
    (root / "DEBIAN/postinst").chmod(0o755)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/run").write_bytes(b"x" * 70_000)
    (root / "usr/bin/run").chmod(0o755)
    (root / "usr/bin/same").hardlink_to(root / "usr/bin/run")
    (root / "usr/bin/link").symlink_to("/usr/bin/run")
    (root / "usr" / ("n" * 150)).write_bytes(b"long")
    for compression in ("xz", "gzip", "none"):
        path = tmp_path / f"{compression}.deb"
        command = ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", root, path]
        subprocess.run(command, capture_output=True, check=True)
        deb = read_deb(memoryview(path.read_bytes()))
        found = {entry.path: entry for entry in deb.entries}
        assert (deb.name, deb.version) == ("demo", "1.0")
        assert "update-alternatives" in deb.scripts["postinst"]
        files = [found["usr/bin/run"], found["usr/bin/same"]]
        assert {entry.kind for entry in files} == {"file", "hardlink"}
        assert {entry.content for entry in files} == {b"x" * 70_000, b""}
        assert {entry.mode for entry in files} == {0o755}
        assert found["usr/bin/link"].target == "/usr/bin/run"
        assert found["usr/" + "n" * 150].content == b"long"


def _with(m, *members, sizes=None):
    """A package whose ar members are replaced or joined by ``members``."""
    control = b"Package: demo\nVersion: 1\nArchitecture: all\n"
    sound = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": gzip.compress(m.tar_member(b"./control", control) + END),
        "data.tar.gz": gzip.compress(END),
    }
    return m.ar(*(sound | dict(members)).items(), sizes=sizes)


def test_the_package_that_hostile_ones_are_made_of_is_sound(make):
    assert read_deb(_with(make)).entries == ()


UNSAFE = {
    "nothing": (lambda m: b"", "not an ar archive"),
    "no archive": (lambda m: b"!<arch>\r" + bytes(99), "not an ar archive"),
    "no member": (lambda m: b"!<arch>\n", "not []"),
    "members in another order": (
        lambda m: m.ar(("data.tar", END), ("debian-binary", b"2.0\n"), ("control.tar", END)),
        "not ['data.tar',",
    ),
    "a fourth member": (lambda m: _with(m, ("_evil", b"x")), "'_evil'"),
    "two data members": (lambda m: _with(m, ("data.tar", END)), "'data.tar'"),
    "a member larger than the archive": (lambda m: _with(m, sizes={2: 1 << 30}), "truncated"),
    "a member smaller than it is": (lambda m: _with(m, sizes={1: 10}), "malformed member"),
    "a member of a negative size": (lambda m: _with(m, sizes={1: -1}), "malformed member"),
    "a member without padding": (
        lambda m: _with(m, ("data.tar.gz", gzip.compress(END)[:-1])).rstrip(b"\n") + b"x",
        "not padded",
    ),
    "bytes after the last member": (lambda m: _with(m) + b"x", "malformed member"),
    "a member with a path": (lambda m: _with(m, ("../data.tar", END)), "malformed member"),
    "a device": (
        lambda m: m.deb(m.tar_member(b"dev/sda", kind=b"4") + END),
        "data.tar.xz: 'dev/sda' is a block device",
    ),
    "a sparse file": (lambda m: m.deb(m.tar_member(kind=b"S") + END), "a sparse file"),
    "a wrong tar checksum": (
        lambda m: m.deb(m.tar_member(checksum=b"000001\0 ") + END),
        "wrong checksum in a header",
    ),
    "a whiteout": (lambda m: m.deb(m.tar_member(b"./usr/.wh.lib") + END), "whiteout"),
    "a traversal": (lambda m: m.deb(m.tar_member(b"./../etc/x") + END), "the name '..'"),
    "a link that climbs out": (
        lambda m: m.deb(m.tar_member(b"a", kind=b"2", target=b"../../etc") + END),
        "leaves the root",
    ),
    "a file under a link": (
        lambda m: m.deb(m.tar_member(b"a", kind=b"2", target=b"/etc") + m.tar_member(b"a/b") + END),
        "which is not a directory",
    ),
    "a hard link to nothing": (
        lambda m: m.deb(m.tar_member(b"a", kind=b"1", target=b"b") + END),
        "not an earlier file",
    ),
    "a path twice": (lambda m: m.deb(m.tar_member() * 2 + END), "duplicate path a"),
    "data cut off": (lambda m: m.deb(m.tar_member(b"a", b"x" * 9)[:512]), "truncated"),
    "xz cut off": (
        lambda m: _with(m, ("control.tar.gz", _with(m)), ("data.tar.gz", b"")),
        "control.tar.gz: not a gzip member",
    ),
    "bytes after the xz stream": (
        lambda m: m.deb(END).replace(lzma.compress(END), lzma.compress(END)[:-8] + b"trailing"),
        "data.tar.xz: corrupt compressed stream",
    ),
    "no control file": (
        lambda m: _with(m, ("control.tar.gz", gzip.compress(END))),
        "no control file",
    ),
    "control of other bytes than UTF-8": (
        lambda m: _with(
            m, ("control.tar.gz", gzip.compress(m.tar_member(b"control", b"\xff") + END))
        ),
        "control: is not UTF-8",
    ),
    "a name that is none": (
        lambda m: m.deb(control="Package: ../x\nVersion: 1\nArchitecture: all\n"),
        "control: malformed Package: '../x'",
    ),
    "a version that is none": (
        lambda m: m.deb(control="Package: xx\nVersion: 1/2\nArchitecture: all\n"),
        "malformed Version: '1/2'",
    ),
    "no architecture": (
        lambda m: m.deb(control="Package: xx\nVersion: 1\n"),
        "malformed Architecture: ''",
    ),
    "a field twice": (
        lambda m: m.deb(control="Package: xx\npackage: yy\n"),
        "control: line 2: malformed or duplicate field: 'package: yy'",
    ),
    "a second paragraph": (
        lambda m: m.deb(control="Package: xx\n\nPackage: yy\n"),
        "control: line 2: malformed or duplicate field: ''",
    ),
    "a line that continues nothing": (
        lambda m: m.deb(control=" x\n"),
        "control: line 1: malformed or duplicate field: ' x'",
    ),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_a_hostile_package_is_refused(case, make):
    build, telling = UNSAFE[case]
    with pytest.raises(InputError) as caught:
        read_deb(build(make))
    assert caught.value.findings[0].code == "layer-unsafe"
    assert telling in str(caught.value)


def test_xz_is_one_stream_with_nothing_behind_it(make):
    for trailing in (b"x", bytes(4), lzma.compress(b"")):
        data = ("data.tar.xz", lzma.compress(END) + trailing)
        control = gzip.compress(
            make.tar_member(b"control", b"Package: xx\nVersion: 1\nArchitecture: all\n") + END
        )
        package = make.ar(("debian-binary", b"2.0\n"), ("control.tar.gz", control), data)
        with pytest.raises(InputError, match="trailing bytes after the xz stream"):
            read_deb(package)


def test_a_package_that_inflates_beyond_measure_is_refused(make):
    bomb = make.tar_member(b"a", bytes(2 << 20)) + END
    with pytest.raises(InputError, match=r"data\.tar\.xz: inflates to more than 1048576") as e:
        read_deb(make.deb(bomb), largest=1 << 20)
    assert e.value.findings[0].code == "layer-unsafe"


@pytest.mark.parametrize(
    ("build", "telling"),
    [
        (lambda m: m.deb(compression="zst"), "unsupported compression of control.tar.zst"),
        (lambda m: m.deb(version=b"3.0\n"), r"not a package of format 2\.0"),
    ],
)
def test_other_formats_are_not_supported(make, build, telling):
    with pytest.raises(InputError, match=telling) as caught:
        read_deb(build(make))
    assert caught.value.findings[0].code == "not-supported-yet"


@settings(max_examples=150)
@given(st.data(), st.sampled_from(["xz", "gz", ""]))
def test_a_mutated_package_reads_or_is_refused(make, reads_or_refuses, data, compression):
    package = bytearray(make.deb(scripts={"postinst": "true"}, compression=compression))
    for _ in range(data.draw(st.integers(1, 3))):
        package[data.draw(st.integers(0, len(package) - 1))] = data.draw(st.integers(0, 255))
    with reads_or_refuses("layer-unsafe", "not-supported-yet"):
        read_deb(bytes(package))


@settings(max_examples=100)
@given(st.text(st.sampled_from("Package: \n\t#.ü-x1\0\r"), max_size=60))
def test_an_odd_control_file_reads_or_is_refused(make, reads_or_refuses, text):
    control = f"Package: demo\nVersion: 1\nArchitecture: all\n{text}"
    with reads_or_refuses("layer-unsafe"):
        read_deb(make.deb(control=control, compression=""))
