"""Everything that is asked for is locked, nothing else is, and each wheel is what the lock says."""

import pytest

from mpbuild.audit.requirement_closure import check


def wheels(make, **requires):
    """Wheels of version 2.0 by name, each with its Requires-Dist and other lines."""
    found = {}
    for name, lines in requires.items():
        filename = f"{name}-2.0-py3-none-any.whl"
        metadata = [x if ": " in x else f"Requires-Dist: {x}" for x in lines]
        found[filename] = make.wheel(filename, {}, *metadata)
    return found


def messages(make, requirements, constraints=(), overrides=(), **requires):
    subject = make.subject(
        wheels(make, **requires),
        requirements=requirements,
        constraints=constraints,
        overrides=overrides,
    )
    return [(found.code, found.finding.message) for found in check(subject)]


def test_a_lock_of_exactly_what_is_requested_passes(make):
    assert not messages(make, ("a>=1",), a=["b>=2", "c; python_version >= '3'"], b=[], c=["a"])


def test_what_a_wheel_asks_for_must_be_there(make):
    assert messages(make, ("a",), a=["b>1"]) == [
        ("lock-drift", "a requires b>1, which is not in the lock")
    ]


def test_what_the_spec_asks_for_must_be_there(make):
    assert messages(make, ("a", "z>1"), a=[]) == [
        ("lock-drift", "the spec requires z>1, which is not in the lock")
    ]


def test_a_version_that_does_not_do_is_reported(make):
    assert messages(make, ("a",), a=["b<2"], b=[]) == [
        ("lock-drift", "a requires b<2, but 2.0 is locked")
    ]


def test_what_nothing_asks_for_is_superfluous(make):
    assert messages(make, ("a",), a=[], b=["c"], c=[]) == [
        ("lock-malformed", "nothing requires b 2.0"),
        ("lock-malformed", "nothing requires c 2.0"),
    ]


@pytest.mark.parametrize(
    "marker",
    ["sys_platform == 'win32'", "python_version < '3.11'", "platform_machine == 'aarch64'",
     "extra == 'x'", "implementation_name != 'cpython'", "platform_release == '1'"],
)  # fmt: skip
def test_markers_are_those_of_the_image_and_not_of_this_machine(make, marker):
    assert not messages(make, ("a",), a=[f"b; {marker}"])


def test_an_extra_brings_what_it_names_and_extras_bring_extras(make):
    asks = [
        "Provides-Extra: all",
        "Provides-Extra: x-y",
        "a[x_y]; extra == 'all'",
        "b; extra == 'x-y'",
    ]
    assert not messages(make, ("a[all]",), a=asks, b=[])
    assert messages(make, ("a",), a=asks, b=[]) == [("lock-malformed", "nothing requires b 2.0")]
    assert messages(make, ("a[all]",), a=asks) == [
        ("lock-drift", "a[x-y] requires b, which is not in the lock")
    ]


def test_an_override_replaces_what_all_ask_for(make):
    asked = ("a", "b<1")
    assert not messages(make, asked, overrides=("b>=2",), a=["b<1"], b=[])
    assert not messages(make, ("a",), overrides=("b; sys_platform == 'never'",), a=["b"])
    assert messages(make, ("a",), overrides=("b<1",), a=["b"], b=[]) == [
        ("lock-drift", "an override requires b<1, but 2.0 is locked")
    ]


def test_a_constraint_bounds_and_brings_nothing_in(make):
    assert not messages(make, ("a",), constraints=("b<1",), a=[])
    assert messages(make, ("a",), constraints=("a<2",), a=[]) == [
        ("lock-drift", "a constraint requires a<2, but 2.0 is locked")
    ]


def test_wheels_that_ask_for_each_other_come_to_an_end(make):
    assert not messages(make, ("a",), a=["b"], b=["a"])


def test_a_prerelease_that_is_locked_will_do(make):
    filename = "b-3.0rc1-py3-none-any.whl"
    found = wheels(make, a=["b>=2"]) | {filename: make.wheel(filename)}
    assert not list(check(make.subject(found, requirements=("a",))))


def test_a_requirement_that_cannot_be_read_is_passed_over(make):
    """uv and pip know how to read some that packaging doesn't."""
    assert not messages(make, ("a",), a=["b>=1.0.*"])


# ---- identity


def one(make, *metadata, **options):
    filename = "a-2.0-py3-none-any.whl"
    return list(check(make.subject({filename: make.wheel(filename, {}, *metadata, **options)})))


@pytest.mark.parametrize("options", [{"name": "b"}, {"version": "2.1"}, {"version": "x"}])
def test_metadata_of_another_package_or_version_is_reported(make, options):
    (found,) = one(make, **options)
    assert found.code == "content-mismatch"
    assert found.packages == ("a",)
    assert "METADATA of a-2.0-py3-none-any.whl is for" in found.finding.message


@pytest.mark.parametrize("options", [{"name": "A"}, {"version": "2"}, {"version": "2.0.0"}])
def test_other_spellings_are_the_same(make, options):
    assert not one(make, **options)


def test_a_wheel_for_another_python_is_reported(make):
    (found,) = one(make, "Requires-Python: >=3.12")
    assert found.code == "lock-malformed"
    assert found.finding.message == "a 2.0 requires Python >=3.12, but the lock is for 3.11"


@pytest.mark.parametrize("asked", [">=3.8", ">=3.11.4", "!=3.11.0", "<4,>=3.7", "nonsense"])
def test_a_wheel_for_some_release_of_this_python_passes(make, asked):
    assert not one(make, f"Requires-Python: {asked}")
