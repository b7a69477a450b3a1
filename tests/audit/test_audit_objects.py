"""What shared objects need is met by a wheel, a Debian package or the machine, or is told."""

import msgspec
import pytest

from mpbuild.audit.shared_objects import check
from mpbuild.derive.elf_needs import ElfFile, ElfNeeds
from mpbuild.spec.environment import AcceleratorEnvironment

ONE, TWO = "one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"
SITE = "opt/venv/lib/python3.11/site-packages"
LIBC = "usr/lib/x86_64-linux-gnu/libc.so.6"


@pytest.fixture
def audited(make):
    """``audited({file: ElfFile}, …)``: what is said of two wheels with these objects."""

    def call(one=None, two=None, *, unread=None, accelerator=AcceleratorEnvironment(), **more):  # noqa: B008
        facts = {
            ONE: msgspec.structs.replace(
                make.facts(make.wheel(ONE)), elf=one or {}, unread=unread or {}
            ),
            TWO: msgspec.structs.replace(make.facts(make.wheel(TWO)), elf=two or {}),
        }
        return list(check(make.subject(facts, accelerator=accelerator, **more)))

    return call


NEEDY = {"one/native.so": ElfFile(needed=("libz.so.1",))}


def test_a_need_that_nobody_meets_is_a_finding_about_the_wheel(audited):
    (found,) = audited(NEEDY)
    assert found.code == "elf-unmet"
    assert found.packages == ("one",)
    assert found.finding.where == "lockfiles/digits/pylock.cpu.toml: packages: one"
    assert found.finding.message == (
        f"/{SITE}/one/native.so of one needs libz.so.1, which nothing in the image supplies"
    )
    assert found.finding.severity == "error"


def test_another_wheel_may_meet_it(audited):
    assert not audited(NEEDY, {"two.libs/libz.so.1": ElfFile()})
    assert not audited(NEEDY, {"two/x.so": ElfFile(soname="libz.so.1")})


def test_the_base_may_meet_it(audited):
    libz = "usr/lib/x86_64-linux-gnu/libz.so.1"
    base = ElfNeeds(files={f"{libz}.2": ElfFile()}, links={libz: f"{libz}.2"})
    assert not audited(NEEDY, debian=(base,))


def test_the_machine_may_meet_it(audited):
    assert not audited(NEEDY, supplied=frozenset({"libz.so.1"}))


def test_symbols_that_the_base_lacks_are_a_finding(audited):
    """manylinux_2_39 on bookworm, say."""
    base = ElfNeeds(files={LIBC: ElfFile(versions_defined=("GLIBC_2.36",))}, links={})
    needs = ElfFile(needed=("libc.so.6",), versions_needed={"libc.so.6": ("GLIBC_2.38",)})
    (found,) = audited({"one/native.so": needs}, debian=(base,))
    assert f"needs GLIBC_2.38 of libc.so.6, which /{LIBC} lacks" in found.finding.message


def test_what_one_object_lacks_is_reported_at_once_and_not_without_end(audited):
    (found,) = audited({"one/a.so": ElfFile(needed=tuple(f"lib{i}.so" for i in range(7)))})
    assert found.finding.message.count("which nothing") == 4
    assert found.finding.message.endswith("and 3 more")


def test_an_object_that_is_never_loaded_needs_nothing(audited):
    assert not audited(NEEDY, never_loaded=frozenset({f"{SITE}/one/native.so"}))


def test_a_path_of_no_object_in_never_loaded_is_reported(audited):
    (found,) = audited({}, never_loaded=frozenset({f"{SITE}/one/gone.so"}))
    assert found.code == "spec-invalid"
    assert found.finding.where == f"digits/model.toml: /{SITE}/one/gone.so"


def test_an_object_of_the_base_is_none_of_the_audit(audited):
    base = ElfNeeds(
        files={"usr/lib/x86_64-linux-gnu/liba.so": ElfFile(needed=("libq.so",))}, links={}
    )
    assert not audited({}, debian=(base,))


def test_in_an_environment_of_steps_it_is_a_warning(audited):
    """No build refuses it there."""
    (found,) = audited(NEEDY, accelerator=None)
    assert found.finding.severity == "warning"


# ---- what was not read


def test_objects_that_were_not_read_are_reported_once(audited):
    (note,) = audited(unread={"one/a.so": 1 << 20, "one/b.so.2": 3 << 20})
    assert note.finding.severity == "note"
    assert note.code == "elf-unmet"
    assert note.packages == ()
    assert note.finding.message.startswith("2 shared objects of 4.0 MiB were not read")


def test_an_object_that_was_not_read_may_be_what_is_needed(audited):
    """By its name or, as its own name for itself may be longer, by the beginning of it."""
    for name in ("one/lib/libz.so.1", "one.libs/libz-0123abcd.so.1.2", "one/libz.so"):
        assert {found.finding.severity for found in audited(NEEDY, unread={name: 1})} == {"note"}
    assert "error" in {
        found.finding.severity for found in audited(NEEDY, unread={"one/libzz.so": 1})
    }


def test_never_loaded_may_name_an_object_that_was_not_read(audited):
    (note,) = audited(unread={"one/a.so": 1}, never_loaded=frozenset({f"{SITE}/one/a.so"}))
    assert note.finding.severity == "note"


def test_modules_that_were_not_read_are_reported(make):
    facts = msgspec.structs.replace(make.facts(make.wheel(ONE)), unparsed=3)
    (note,) = check(make.subject({ONE: facts}))
    assert (note.code, note.finding.severity) == ("undeclared-dependency", "note")
    assert "3 Python modules" in note.finding.message
