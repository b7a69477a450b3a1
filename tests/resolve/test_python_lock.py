"""Locking wheels with a real uv: one wheel a package, few changes, no change unseen."""

import pytest

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.http.download import FileSink, download
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.python.index_views import IndexOwner, IndexSources, IndexView, lay_out
from mpbuild.effects.python.projects import Projects
from mpbuild.effects.python.uv import ResolvedPackage, WheelCandidate
from mpbuild.formats.python import pylock, wheel_tags
from mpbuild.locks import python_inputs as resolution
from mpbuild.resolve import python_lock


def inputs(*requirements: str, **settings: object) -> resolution.PythonInputs:
    return resolution.inputs(requirements, python="3.11", suite="bookworm", **settings)


@pytest.fixture
def lock(wheels, uv, web):
    def lock(*requirements: str, **settings: object) -> pylock.PythonLock:
        constraints = settings.pop("constraints", ())
        previous = settings.pop("previous", None)
        return python_lock.lock(
            inputs(*requirements, constraints=constraints),
            environment="cpu",
            view=settings.pop("view", None) or IndexView.of(wheels.index),
            uv=uv,
            web=web,
            known={package.name: package for package in previous.packages} if previous else {},
            **settings,
        )

    return lock


@pytest.fixture
def requests(wheels, uv, web):
    def requests(lock: pylock.PythonLock) -> tuple[FileRequest, ...]:
        return python_lock.requests(
            lock, find=lambda _: wheels.index, uv=uv, projects=Projects(web)
        )

    return requests


def versions(lock: pylock.PythonLock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_a_lock_holds_the_best_wheel_of_each_package(lock, wheels, uv):
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: Beta_Two")
    wheels.add("beta_two-1.0-py3-none-any.whl")
    wheels.add("beta_two-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    wheels.add("beta_two-1.0-cp312-cp312-manylinux_2_28_x86_64.whl")
    found = lock("alpha")
    assert versions(found) == {"alpha": "1.0", "beta-two": "1.0"}
    assert found.packages[1].wheel.filename.startswith("beta_two-1.0-cp311")
    assert found.resolver == uv.version
    assert found.resolution == inputs("alpha").digest
    assert pylock.read(pylock.write(found), file="x") == found


def test_sizes_and_digests_are_those_of_the_files(lock, wheels):
    path = wheels.add("alpha-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    wheels.add("alpha-1.0-py3-none-any.whl")
    (package,) = lock("alpha").packages
    assert package.wheel == pylock.LockedWheel(
        filename=path.name, sha256=Digest.of(path.read_bytes()), size=path.stat().st_size
    )


def test_locking_again_gives_the_same_bytes(lock, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: beta")
    wheels.add("beta-1.0-py3-none-any.whl")
    first = lock("alpha")
    assert pylock.write(lock("alpha")) == pylock.write(first)
    assert pylock.write(lock("alpha", previous=first)) == pylock.write(first)


def test_a_new_release_changes_a_lock_only_on_request(lock, wheels):
    for name in ("alpha", "beta"):
        wheels.add(f"{name}-1.0-py3-none-any.whl")
    first = lock("alpha", "beta")
    for name in ("alpha", "beta"):
        wheels.add(f"{name}-2.0-py3-none-any.whl")
    assert lock("alpha", "beta", previous=first) == first
    assert versions(lock("alpha", "beta", previous=first, fresh=["beta"])) == {
        "alpha": "1.0",
        "beta": "2.0",
    }
    assert versions(lock("alpha>1", "beta", previous=first)) == {"alpha": "2.0", "beta": "1.0"}


def test_a_better_wheel_that_comes_later_does_not_change_a_lock(lock, wheels):
    wheels.add("alpha-1.0-py3-none-any.whl")
    first = lock("alpha")
    wheels.add("alpha-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    assert lock("alpha", previous=first) == first
    assert lock("alpha") != first


@pytest.mark.parametrize("fresh", [(), ("alpha",)])
def test_a_released_file_that_changed_is_an_alarm_never_a_new_lock(lock, wheels, fresh):
    wheels.add("alpha-1.0-py3-none-any.whl")
    first = lock("alpha")
    wheels.add("alpha-1.0-py3-none-any.whl", content="other bytes")
    with pytest.raises(InputError, match="the index now has") as caught:
        lock("alpha", previous=first, fresh=fresh)
    (finding,) = caught.value.findings
    assert (finding.code, finding.where) == ("content-mismatch", "alpha-1.0-py3-none-any.whl")


def test_constraints_bind_and_are_part_of_the_inputs(lock, wheels):
    for version in ("1.0", "2.0"):
        wheels.add(f"alpha-{version}-py3-none-any.whl")
    bound = lock("alpha", constraints=["alpha<2"])
    assert versions(bound) == {"alpha": "1.0"}
    assert bound.resolution != lock("alpha").resolution


def test_pins_bind_and_are_none_of_the_inputs(lock, wheels):
    for version in ("1.0", "2.0"):
        wheels.add(f"alpha-{version}-py3-none-any.whl")
    pinned = lock("alpha", pins=[("alpha", "1.0"), ("beta", "7.0")])
    assert versions(pinned) == {"alpha": "1.0"}
    assert pinned.resolution == lock("alpha").resolution


def test_an_environment_without_dependencies_has_an_empty_lock(lock):
    empty = lock()
    assert empty.packages == ()
    assert pylock.read(pylock.write(empty), file="x") == empty


def test_locked_wheels_are_fetched_by_their_locked_digests(lock, requests, wheels, web, tmp_path):
    path = wheels.add("alpha-1.0-py3-none-any.whl")
    locked = lock("alpha")
    kept = {}

    def keep(file, digest):
        kept[digest] = file.read_bytes()

    download(
        requests(locked), into=FileSink(tmp_path / "partial", kept.__contains__, keep), web=web
    )
    assert kept == {locked.packages[0].wheel.sha256: path.read_bytes()}


def test_a_locked_file_that_is_gone_is_a_failed_fetch(lock, requests, wheels):
    path = wheels.add("alpha-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    wheels.add("alpha-1.0-py3-none-any.whl")
    locked = lock("alpha")
    wheels.remove(path)
    with pytest.raises(EnvironmentFailureError, match="no longer has this file") as caught:
        requests(locked)
    assert caught.value.findings[0].where == path.name


def test_each_wheel_is_fetched_from_the_index_that_the_lock_names(
    lock, wheels, make_index, uv, web, tmp_path
):
    torch = make_index("torch")
    wheels.add("alpha-1.0-py3-none-any.whl", "Requires-Dist: torch")
    wheels.add("torch-1.0-py3-none-any.whl", content="another build")
    owned = torch.add("torch-1.0-py3-none-any.whl")
    sources = IndexSources(
        default=wheels.index, owners=(IndexOwner(index=torch.index, patterns=("torch",)),)
    )
    view = lay_out(sources, tmp_path / "view", Projects(web))
    locked = lock("alpha", view=view)
    assert [package.index for package in locked.packages] == ["default", "torch"]
    indexes = {"default": wheels.index, "torch": torch.index}
    found = python_lock.requests(locked, find=indexes.__getitem__, uv=uv, projects=Projects(web))
    assert {r.name: r.urls[0] for r in found}["torch-1.0-py3-none-any.whl"] == owned.as_uri()
    torch.remove(owned)
    with pytest.raises(EnvironmentFailureError, match="no longer has this file"):
        python_lock.requests(locked, find=indexes.__getitem__, uv=uv, projects=Projects(web))


def test_inputs_have_one_form() -> None:
    assert inputs("Num_Py >= 2", "b[x,a]") == inputs("b[a, x]", "num-py>=2", "b[a,x]")
    assert inputs("numpy>=2").digest != inputs("numpy>=2.1").digest
    assert inputs("a").digest != inputs("a", owners={"torch": ["a"]}).digest
    assert inputs("a").digest != inputs("a", constraints=["a<2"]).digest
    assert inputs("a").digest != inputs("a", union=["a", "b"]).digest
    assert inputs("a", union=["a", "B", "a"]) == inputs("a", union=["b", "a"])


def test_the_digest_of_inputs_never_changes() -> None:
    assert inputs("numpy>=2", "onnxruntime>=1.20").digest == (
        "sha256:ab5bcf0410f5351571b4209ae6fb30aadc8a6947aa8e08c954ecfb4d5095d225"
    )


@pytest.mark.parametrize(
    "text", ["not a requirement", "-r other.txt", "a\n-r /etc/passwd", "./a", ""]
)
def test_what_is_no_requirement_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a requirement"):
        inputs(text)


@pytest.mark.parametrize(
    "text",
    [
        r"a; platform_version != '\n--index-url x'",
        r"a; platform_version != '\x22\x27\n-r /etc/passwd\n#'",
    ],
)
def test_a_marker_brings_no_further_line_to_a_resolver(text: str) -> None:
    with pytest.raises(InputError, match="a backslash"):
        inputs(text)


def test_a_requirement_with_an_address_is_refused() -> None:
    with pytest.raises(InputError, match="names a URL"):
        inputs("a @ https://index.example/a-1.0-py3-none-any.whl")


def test_a_python_that_the_suite_lacks_is_refused() -> None:
    with pytest.raises(InputError, match=r"bookworm has no Python 3\.12") as caught:
        resolution.inputs(["a"], python="3.12", suite="bookworm")
    assert "Python 3.11" in caught.value.findings[0].hint


def test_a_suite_that_nobody_knows_is_not_supported_yet() -> None:
    with pytest.raises(InputError) as caught:
        resolution.inputs(["a"], python="3.12", suite="sid")
    assert caught.value.findings[0].code == "not-supported-yet"


def candidate(tag: str, build: str = "", *, hashed: bool = True) -> WheelCandidate:
    digest = Digest.of(b"") if hashed else None
    return WheelCandidate(f"a-1-{build}{tag}.whl", "https://index.example/a", digest, 1)


def chosen(*candidates: WheelCandidate) -> str:
    ranks = wheel_tags.supported("3.11", (2, 36))
    return python_lock.choose(ResolvedPackage("a", "1", candidates), ranks).filename


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (candidate("py3-none-any"), candidate("cp311-cp311-manylinux_2_28_x86_64")),
        (candidate("cp310-abi3-manylinux1_x86_64"), candidate("cp310-abi3-manylinux_2_36_x86_64")),
        (candidate("cp39-abi3-manylinux_2_28_x86_64"), candidate("cp311-cp311-manylinux1_x86_64")),
        (candidate("py3-none-any"), candidate("py3-none-any", "2-")),
        (candidate("py3-none-any", "2-"), candidate("py3-none-any", "10-")),
        (candidate("cp311-cp311-manylinux_2_39_x86_64"), candidate("py3-none-any")),
        (candidate("cp311-cp311-manylinux_2_28_x86_64", hashed=False), candidate("py3-none-any")),
    ],
)  # fmt: skip
def test_the_best_wheel_is_chosen_in_any_order(
    worse: WheelCandidate, better: WheelCandidate
) -> None:
    assert chosen(worse, better) == chosen(better, worse) == better.filename


def test_a_package_without_a_fitting_wheel_is_named() -> None:
    with pytest.raises(InputError, match="a 1 has no wheel"):
        chosen(candidate("cp312-cp312-manylinux1_x86_64"))
