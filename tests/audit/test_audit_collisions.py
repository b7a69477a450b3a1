"""Two wheels at one path: a finding where one would hide other bytes of the other."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.audit.collisions import check, of_files
from mpbuild.audit.wheel_facts import MemberFacts

ONE, TWO = "one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"
SITE = "/opt/venv/lib/python3.11/site-packages"


def collisions(make, first, second, **options):
    return list(check(make.subject({ONE: make.wheel(ONE, first), TWO: make.wheel(TWO, second)})))


def test_other_bytes_at_one_path_are_a_collision(make):
    shared = {f"same/{i}.py": b"%d" % i for i in range(5)}
    (found,) = collisions(
        make,
        shared | {"same/x.py": b"1", "same/y.py": b"1"},
        shared | {"same/x.py": b"2", "same/y.py": b"22"},
    )
    assert found.code == "file-collision"
    assert found.packages == ("one", "two")
    assert found.finding.message == (
        f"one and two install 7 files at the same path, of which 2 differ, such as {SITE}/same/x.py"
    )
    assert found.finding.severity == "error"


def test_equal_bytes_at_one_path_are_none(make):
    assert not collisions(make, {"ns/__init__.py": b""}, {"ns/__init__.py": b"", "ns/two.py": b""})


def test_a_file_where_the_other_has_a_folder_is_a_collision(make):
    (found,) = collisions(make, {"ns/a": b""}, {"ns/a/b.py": b""})
    assert found.packages == ("one", "two")
    assert found.finding.message.endswith(
        f"1 file at the same path, of which 1 differs, such as {SITE}/ns/a"
    )


def test_places_count_and_not_names_in_the_archive(make):
    """A wheel may bring one file through its ``.data`` folder and the other directly."""
    (found,) = collisions(make, {"m.py": b"1"}, {"two-1.0.data/purelib/m.py": b"2"})
    assert f"such as {SITE}/m.py" in found.finding.message
    (found,) = collisions(
        make, {"one-1.0.data/data/share/x": b"1"}, {"two-1.0.data/data/share/x": b"2"}
    )
    assert "such as /opt/venv/share/x" in found.finding.message


def test_three_wheels_collide_by_pairs(make):
    three = "three-1.0-py3-none-any.whl"
    wheels = {name: make.wheel(name, {"m.py": name.encode()}) for name in (ONE, TWO, three)}
    pairs = {found.packages for found in check(make.subject(wheels))}
    assert pairs == {("one", "two"), ("one", "three"), ("three", "two")}


def test_one_script_of_two_wheels_is_a_collision(make):
    wheels = {
        name: make.wheel(name, entry_points=f"[console_scripts]\nrun = {name[:3]}:main\n")
        for name in (ONE, TWO)
    }
    (found,) = check(make.subject(wheels))
    assert found.code == "entry-point-collision"
    assert found.packages == ("one", "two")
    assert found.finding.message == "one and two both install the script run"


def test_a_script_where_another_wheel_brings_a_file_is_a_collision(make):
    first = make.wheel(ONE, entry_points="[console_scripts]\nrun = one:main\n")
    second = make.wheel(TWO, {"two-1.0.data/scripts/run": b"#!python\n"})
    (found,) = check(make.subject({ONE: first, TWO: second}))
    assert found.code == "entry-point-collision"


def test_a_wheel_does_not_collide_with_itself(make):
    """Wheels of the first years bring the script and the entry point."""
    own = make.wheel(
        ONE,
        {"one-1.0.data/scripts/run": b"#!python\n"},
        entry_points="[console_scripts]\nrun = one:f\n",
    )
    assert not list(check(make.subject({ONE: own})))


PATHS = st.sampled_from(["a", "a/b", "a/b/c", "a/d", "e"])
TREES = st.dictionaries(PATHS, st.sampled_from([MemberFacts(1, 1), MemberFacts(1, 2)]))


@settings(max_examples=200, deadline=None)
@given(TREES, TREES)
def test_a_pair_collides_exactly_where_the_union_is_no_tree(one, two):
    differs = any(one[path] != two[path] for path in one.keys() & two.keys())
    folders = [(a, b) for a in one for b in two if a.startswith(f"{b}/") or b.startswith(f"{a}/")]
    found = list(of_files({"one": one, "two": two}, "lock"))
    assert bool(found) == (differs or bool(folders))


def test_a_wheel_that_brings_the_record_of_another_collides(make):
    (found,) = collisions(make, {}, {"two-1.0.data/purelib/one-1.0.dist-info/RECORD": b"x,,\n"})
    assert found.finding.message.endswith(f"such as {SITE}/one-1.0.dist-info/RECORD")


def test_signatures_of_records_are_in_no_image(make):
    signed = {"one-1.0.dist-info/RECORD.jws": b"1"}
    other = {"two-1.0.data/purelib/one-1.0.dist-info/RECORD.jws": b"2"}
    assert not collisions(make, signed, other)
