"""Whether a lock is still the spec's, offline: missing, drifted, edited, or good."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from mpbuild.locks import debian_lock, drift
from mpbuild.locks.python_inputs import inputs
from mpbuild.spec.workspace import LinkSettings

WANTED = inputs(["numpy>=2", "tiny; python_version<'3'"], python="3.11", suite="bookworm")
LOCK = pylock.PythonLock(
    environment="cpu",
    python="3.11",
    resolution=WANTED.digest,
    resolver="uv 0.13.9",
    packages=(
        pylock.PythonPackage(
            name="numpy",
            version="2.4.6",
            wheel=pylock.LockedWheel(
                filename="numpy-2.4.6-py3-none-any.whl", sha256=Digest.of(b""), size=1
            ),
        ),
    ),
)
TEXT = pylock.write(LOCK)

DEBIAN = debian_lock.inputs("bookworm", ["libc6"])
DEBIAN_TEXT = deblock.write(
    deblock.DebianLock(
        environment="cpu",
        suite="bookworm",
        architecture="amd64",
        resolution=DEBIAN.digest,
        packages=(
            deblock.DebianPackage(
                name="libc6",
                version="2.36-9",
                architecture="amd64",
                base=True,
                path="pool/main/g/glibc/libc6_2.36-9_amd64.deb",
                sha256=Digest.of(b""),
                size=1,
            ),
        ),
    )
)


MORE = pylock.write(
    msgspec.structs.replace(
        LOCK,
        packages=(
            *LOCK.packages,
            pylock.PythonPackage(
                name="tiny",
                version="1.0",
                wheel=pylock.LockedWheel(
                    filename="tiny-1.0-py3-none-any.whl", sha256=Digest.of(b"tiny"), size=2
                ),
            ),
        ),
    )
)


def check_python(*words: Any, **named: Any) -> list[Finding]:
    return drift.check_python(*words, **named).findings


def check_debian(*words: Any, **named: Any) -> list[Finding]:
    return drift.check_debian(*words, **named).findings


def told(text: str | None, *requirements: str) -> list[tuple[str, str]]:
    wanted = inputs(requirements, python="3.11", suite="bookworm") if requirements else WANTED
    findings = check_python(text, wanted, environment="cpu", file="pylock.cpu.toml")
    assert all(finding.where.startswith("pylock.cpu.toml") for finding in findings)
    assert all("mpbuild lock" in finding.hint for finding in findings)
    return [(finding.code, finding.message) for finding in findings]


def test_a_good_lock_has_no_findings() -> None:
    assert told(TEXT) == []
    assert check_debian(DEBIAN_TEXT, DEBIAN, environment="cpu", file="x") == []


def test_no_lock_is_missing() -> None:
    assert told(None) == [("lock-missing", "there is no lock")]


def test_a_broken_lock_is_malformed() -> None:
    assert told(TEXT.replace("size = 1", "size = 0"))[0][0] == "lock-malformed"


@pytest.mark.parametrize("text", [TEXT + "\n", TEXT.replace("\n", "\n# mine\n", 1), TEXT[:-1]])
def test_other_bytes_for_the_same_lock_are_drift(text: str) -> None:
    ((code, message),) = told(text)
    assert code == "lock-drift"
    assert "edited or merged by hand" in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size = 2", "size = 3"),
        (Digest.of(b"tiny").hex, Digest.of(b"other").hex),
        ("uv 0.13.9", "uv 0.14.0"),
        (MORE.split("\n\n")[2] + "\n\n", ""),
    ],
)
def test_an_edit_by_hand_shows_in_the_digest_of_the_content(old: str, new: str) -> None:
    assert MORE.count(old) >= 1
    edited = MORE.replace(old, new, 1)
    edited = edited.replace("packages = 2", f"packages = {edited.count('[[packages]]')}")
    (finding,) = check_python(edited, WANTED, environment="cpu", file="lock")
    assert finding.code == "lock-drift"
    assert finding.where == f"lock:{edited.count(chr(10))}"
    assert finding.message.endswith(
        "edited or merged by hand: its content does not match its digest"
    )


def test_what_can_be_seen_in_the_packages_needs_no_digest_to_be_seen() -> None:
    without = pylock.write(msgspec.structs.replace(LOCK, packages=()))
    assert told(without) == [("lock-drift", "the lock lacks numpy>=2")]
    bare = deblock.read(DEBIAN_TEXT, file="x")
    (finding,) = check_debian(
        deblock.write(msgspec.structs.replace(bare, packages=())),
        DEBIAN,
        environment="cpu",
        file="x",
    )
    assert finding.message == "the lock lacks libc6"


def test_the_lock_of_another_environment_is_drift() -> None:
    for text, wanted, check in (
        (TEXT, WANTED, check_python),
        (DEBIAN_TEXT, DEBIAN, check_debian),
    ):
        (finding,) = check(text, wanted, environment="cuda", file="x")
        assert (finding.code, finding.where) == ("lock-drift", "x")
        assert finding.message == "the lock is for cpu, not for cuda"


@pytest.mark.parametrize(
    ("requirements", "said"),
    [
        (["numpy>=2", "scipy"], ["the lock lacks scipy"]),
        (["numpy>=3"], ["the spec requires numpy>=3, but 2.4.6 is locked"]),
        (["scipy", "pandas"], ["the lock lacks pandas", "the lock lacks scipy"]),
        (["numpy"], ["the spec has changed since it was locked"]),
    ],
)  # fmt: skip
def test_drift_says_what_the_lock_lacks(requirements: list[str], said: list[str]) -> None:
    assert told(TEXT, *requirements) == [("lock-drift", message) for message in said]


def test_what_another_accelerator_adds_is_drift_of_all() -> None:
    requirements = ["numpy>=2", "tiny; python_version<'3'"]
    wanted = inputs(requirements, python="3.11", suite="bookworm", union=[*requirements, "b"])
    (finding,) = check_python(TEXT, wanted, environment="cpu", file="pylock.cpu.toml")
    assert finding.code == "lock-drift"
    assert finding.message.endswith("all accelerators are locked together")


def test_another_python_is_drift() -> None:
    wanted = inputs(["numpy>=2"], python="3.13", suite="trixie")
    (finding,) = check_python(TEXT, wanted, environment="cpu", file="x")
    assert "the lock is for Python 3.11, the spec for 3.13" in finding.message


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (debian_lock.inputs("bookworm", ["libc6"], ["libgomp1"]), "the lock lacks libgomp1"),
        (debian_lock.inputs("trixie", ["libc6"]), "the lock is for bookworm, the base is trixie"),
        (debian_lock.inputs("bookworm", [], ["libc6"]), "the spec has changed since it was locked"),
        (
            debian_lock.inputs("bookworm", ["libc6"], security=False),
            "the spec has changed since it was locked",
        ),
        (
            debian_lock.inputs(
                "bookworm", ["libc6"], base_links=[LinkSettings(package="libc6", omitted="x")]
            ),
            "its link table differs from the spec's",
        ),
    ],
)
def test_drift_of_a_debian_lock_says_what_changed(
    wanted: debian_lock.DebianInputs, said: str
) -> None:
    (finding,) = check_debian(DEBIAN_TEXT, wanted, environment="cpu", file="x")
    assert finding.hint == "run `mpbuild lock`"
    assert (finding.code, finding.message) == ("lock-drift", said)


def test_security_updates_in_the_lock_of_a_base_without_are_drift() -> None:
    wanted = debian_lock.inputs("bookworm", ["libc6"], security=False)
    lock = deblock.read(DEBIAN_TEXT, file="x")
    packages = tuple(msgspec.structs.replace(p, security=True) for p in lock.packages)
    lock = msgspec.structs.replace(lock, packages=packages, resolution=wanted.digest)
    (finding,) = check_debian(deblock.write(lock), wanted, environment="cpu", file="x")
    assert finding.message == "the lock has security updates, but the base excludes them"


def test_a_package_from_an_index_that_does_not_own_it_is_drift() -> None:
    edited = MORE.replace('index = "default"', 'index = "other"', 1)
    (finding,) = check_python(edited, WANTED, environment="cpu", file="lock")
    assert finding.code == "lock-drift"
    assert "is from the index other, but default owns it" in finding.message


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"constraints": ["numpy<2"]}, "the spec requires numpy<2, but"),
        ({"overrides": ["numpy<2"]}, "the spec requires numpy<2, but"),
        ({"constraints": ["numpy<2; python_version < '3'"]}, ""),
        ({"constraints": ["absent<2"]}, ""),
    ],
)
def test_bounds_are_looked_at_offline(bounds: dict[str, list[str]], said: str) -> None:
    wanted = inputs(["numpy>=2"], python="3.11", suite="bookworm", **bounds)
    messages = [f.message for f in check_python(MORE, wanted, environment="cpu", file="l")]
    assert said in messages[0]
    assert said or messages == ["the spec has changed since it was locked"]


def test_an_override_counts_in_place_of_the_requirement() -> None:
    wanted = inputs(["numpy>=3"], python="3.11", suite="bookworm", overrides=["numpy>=2"])
    (finding,) = check_python(MORE, wanted, environment="cpu", file="l")
    assert finding.message == "the spec has changed since it was locked"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_a_lock_is_noticed(data: st.DataObject) -> None:
    text, check, wanted = data.draw(
        st.sampled_from([(MORE, check_python, WANTED), (DEBIAN_TEXT, check_debian, DEBIAN)])
    )
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 80)))
    piece = data.draw(st.text(st.sampled_from('ab019."=[]{}\n #é\0'), max_size=4))
    other = text[:at] + piece + text[end:]
    findings = check(other, wanted, environment="cpu", file="x")
    assert bool(findings) == (other != text)
    assert {finding.code for finding in findings} <= {"lock-malformed", "lock-drift"}
