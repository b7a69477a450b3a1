"""Python locks: one canonical text, valid PEP 751, and nothing accepted that it can't say."""

import contextlib
import tomllib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.pylock import Pylock

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.python import pylock
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage

NUMPY = PythonPackage(
    name="numpy",
    version="2.4.6",
    wheel=LockedWheel(
        filename="numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        sha256=Digest.of(b"numpy"),
        size=16_918_164,
    ),
)
PURE = PythonPackage(
    name="ml-dtypes",
    version="0.6.0",
    wheel=LockedWheel(
        filename="ml_dtypes-0.6.0-py3-none-any.whl", sha256=Digest.of(b"ml"), size=412_043
    ),
)
LOCK = PythonLock(
    environment="cpu",
    python="3.11",
    resolution=Digest.of(b"inputs"),
    resolver="uv 0.13.9",
    packages=(PURE, NUMPY),
)
BODY = f"""\
lock-version = "1.0"
environments = ["implementation_name == 'cpython' and python_version == '3.11' and \
sys_platform == 'linux' and platform_machine == 'x86_64'"]
requires-python = "==3.11.*"
created-by = "mpbuild"

[[packages]]
name = "ml-dtypes"
version = "0.6.0"
wheels = [{{ name = "ml_dtypes-0.6.0-py3-none-any.whl", \
path = "wheels/ml_dtypes-0.6.0-py3-none-any.whl", size = 412043, \
hashes = {{ sha256 = "{Digest.of(b"ml").hex}" }} }}]
tool.mpbuild.index = "default"

[[packages]]
name = "numpy"
version = "2.4.6"
wheels = [{{ name = "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", \
path = "wheels/numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", \
size = 16918164, hashes = {{ sha256 = "{Digest.of(b"numpy").hex}" }} }}]
tool.mpbuild.index = "default"

[tool.mpbuild]
format = 1
environment = "cpu"
platform = "linux/amd64"
python = "3.11"
glibc = "2.27"
packages = 2
resolution = "{Digest.of(b"inputs")}"
resolver = "uv 0.13.9"
"""
CANONICAL = f'{BODY}content = "{Digest.of(BODY.encode())}"\n'

words = st.text("abz09", min_size=1, max_size=5)
names = st.lists(words, min_size=1, max_size=3).map("-".join)
numbers = st.lists(st.integers(0, 2030), min_size=1, max_size=3)
versions = st.builds(
    lambda release, suffix: ".".join(map(str, release)) + suffix,
    numbers,
    st.sampled_from(["", "a1", "rc2", ".post1", ".dev3"]),
)
wheel_tags = st.sampled_from(
    ["py3-none-any", "cp311-cp311-manylinux_2_28_x86_64", "cp39-abi3-manylinux2014_x86_64"]
)


@st.composite
def packages(draw: st.DrawFn) -> PythonPackage:
    name, version = draw(names), draw(versions)
    return PythonPackage(
        name=name,
        version=version,
        wheel=LockedWheel(
            filename=f"{name.replace('-', '_')}-{version}-{draw(wheel_tags)}.whl",
            sha256=Digest.of(draw(st.binary(max_size=4))),
            size=draw(st.integers(1, 1 << 40)),
        ),
        index=draw(names),
    )


locks = st.builds(
    lambda found: PythonLock(
        environment="test-cpu",
        python="3.11",
        resolution=LOCK.resolution,
        resolver=LOCK.resolver,
        packages=tuple(sorted(found, key=lambda package: package.name)),
    ),
    st.lists(packages(), max_size=5, unique_by=lambda package: package.name),
)


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        pylock.read(text, file="pylock.cpu.toml")
    assert caught.value.findings[0].code == "lock-malformed"
    assert caught.value.findings[0].where.startswith("pylock.cpu.toml")
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert CANONICAL.count(old) >= 1
    return CANONICAL.replace(old, new, 1)


def test_a_lock_has_one_text() -> None:
    assert pylock.write(LOCK) == CANONICAL


def test_the_canonical_text_reads_as_the_lock() -> None:
    assert pylock.read(CANONICAL, file="x") == LOCK


def test_the_order_of_packages_does_not_change_the_text() -> None:
    backwards = PythonLock(
        **{f: getattr(LOCK, f) for f in LOCK.__struct_fields__[:-1]}, packages=(NUMPY, PURE)
    )
    assert pylock.write(backwards) == CANONICAL


@settings(max_examples=50, deadline=None)
@given(locks)
def test_whatever_is_written_reads_back_and_is_valid_pep_751(lock: PythonLock) -> None:
    text = pylock.write(lock)
    assert pylock.read(text, file="x") == lock
    assert pylock.write(pylock.read(text, file="x")) == text
    Pylock.from_dict(tomllib.loads(text)).validate()


def test_another_layout_of_the_same_facts_is_read_and_written_canonically() -> None:
    blocks = CANONICAL.split("\n\n")
    merged = "\n".join([blocks[0], "# merged", blocks[2], blocks[1], blocks[3]])
    assert pylock.write(pylock.read(merged, file="x")) == CANONICAL


def test_no_address_is_ever_written() -> None:
    assert "://" not in CANONICAL


def test_the_glibc_floor_is_the_newest_that_any_wheel_asks_for() -> None:
    assert LOCK.glibc == "2.27"


def with_cuda() -> str:
    runtime = PythonPackage(
        name="nvidia-cuda-runtime",
        version="13.5.37",
        wheel=LockedWheel(
            filename="nvidia_cuda_runtime-13.5.37-py3-none-manylinux2014_x86_64.whl",
            sha256=Digest.of(b"runtime"),
            size=2_504_024,
        ),
    )
    return pylock.write(msgspec.structs.replace(LOCK, packages=(PURE, NUMPY, runtime)))


def test_the_floors_of_cuda_follow_from_its_runtime() -> None:
    text = with_cuda()
    assert 'glibc = "2.27"\ncuda = "13.5"\ndriver = "580"\n' in text
    assert pylock.read(text, file="x").cuda == "13.5"
    assert LOCK.cuda is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('cuda = "13.5"', 'cuda = "12.4"', "tool.mpbuild.cuda: must be '13.5', not '12.4'"),
        ('driver = "580"', 'driver = "525"', "tool.mpbuild.driver: must be '580', not '525'"),
        ('cuda = "13.5"\n', "", "tool.mpbuild: `cuda` is missing"),
        ('driver = "580"\n', "", "tool.mpbuild: `driver` is missing"),
        ("13.5.37", "14.0.1", "CUDA 14.0 is not supported"),
    ],
)
def test_floors_are_computed_again_on_reading(old: str, new: str, said: str) -> None:
    assert said in refused(with_cuda().replace(old, new))


@pytest.mark.parametrize("key", ["cuda", "driver"])
def test_a_floor_that_nothing_asks_for_is_refused(key: str) -> None:
    text = changed('glibc = "2.27"', f'glibc = "2.27"\n{key} = "580"')
    assert f"tool.mpbuild.{key}: must be '', not '580'" in refused(text)


def test_a_lock_of_pure_wheels_asks_for_no_glibc() -> None:
    text = pylock.write(
        PythonLock(
            environment="a",
            python="3.13",
            resolution=LOCK.resolution,
            resolver="uv 1",
            packages=(PURE,),
        )
    )
    assert "glibc" not in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('lock-version = "1.0"', 'lock-version = "1.1"', "lock-version: must be '1.0', not '1.1'"),
        ('created-by = "mpbuild"', 'created-by = "uv"', "created-by: must be 'mpbuild', not 'uv'"),
        ("'x86_64'", "'aarch64'", "environments: must be"),
        ("and sys_platform == 'linux'", "and sys_platform == 'never'", "environments: must be"),
        ('"==3.11.*"', '">=3.11"', "requires-python: must be '==3.11.*', not '>=3.11'"),
        ("size = 412043, ", "", "packages[0].wheels[0]: `size` is missing"),
        ("size = 412043", "size = 0", "packages[0].wheels[0].size: 0 is not the size"),
        ("size = 412043", "size = -1", "packages[0].wheels[0].size: -1 is not the size"),
        ("size = 412043", "size = true", "packages[0].wheels[0].size: must be an integer"),
        ("size = 412043", "size = 1e3", "packages[0].wheels[0].size: must be an integer"),
        ("hashes = { sha256", "hashes = { md5", "wheels[0].hashes: `sha256` is missing"),
        ("{ sha256 =", '{ md5 = "00", sha256 =', "packages[0].wheels[0].hashes: unknown key `md5`"),
        ('sha256 = "', 'sha256 = "A', "packages[0].wheels[0].hashes.sha256:"),
        ("size = 412043", 'url = "https://i.example", size = 1', "without URLs"),
        ('path = "wheels/ml', 'path = "../wheels/ml', "packages[0].wheels[0].path:"),
        ('path = "wheels/ml', 'path = "/wheels/ml', "packages[0].wheels[0].path:"),
        ('path = "wheels/ml', 'path = "ml', "packages[0].wheels[0].path:"),
        ('version = "0.6.0"', 'version = "0.6.1"', "is not a wheel of ml-dtypes 0.6.1"),
        ('version = "0.6.0"', 'version = "0.6"', "is not a wheel of ml-dtypes 0.6"),
        ('version = "0.6.0"', 'version = "zero"', "is not a version"),
        ('name = "ml-dtypes"', 'name = "ml-dtypes2"', "is not a wheel of ml-dtypes2"),
        ('name = "ml-dtypes"', 'name = "ML_dtypes"', "'ML_dtypes' does not match"),
        ('name = "ml-dtypes"', 'name = "ml-dtypes"\nmarker = "x"', "unknown key `marker`"),
        ('name = "ml-dtypes"', 'name = "ml-dtypes"\nindex = "https://i"', "without URLs"),
        ("tool.mpbuild.index", "tool.other.index", "packages[0].tool: `mpbuild` is missing"),
        ("packages = 2", "packages = 3", "tool.mpbuild.packages: must be 2, not 3"),
        ('glibc = "2.27"', 'glibc = "2.17"', "tool.mpbuild.glibc: must be '2.27', not '2.17'"),
        ('glibc = "2.27"\n', "", "tool.mpbuild: `glibc` is missing"),
        ('resolution = "sha256:', 'resolution = "md5:', "is not a sha256 digest"),
        ('content = "sha256:', 'content = "md5:', "content: 'md5:"),
        ("format = 1", "format = 2", "tool.mpbuild.format: must be 1, not 2"),
        ('platform = "linux/amd64"', 'platform = "linux/arm64"', "tool.mpbuild.platform: must be"),
        ("[tool.mpbuild]", "[tool.other]\n[tool.mpbuild]", "tool: unknown key `other`"),
        ("[tool.mpbuild]", "extras = []\n[tool.mpbuild]", "unknown key `extras`"),
        ("[[packages]]", "[packages]", "not TOML"),
    ],
)  # fmt: skip
def test_what_the_format_cannot_say_is_refused(old: str, new: str, said: str) -> None:
    assert said in refused(changed(old, new))


def test_two_wheels_for_a_package_are_refused() -> None:
    wheel = CANONICAL.split("wheels = [", 1)[1].split("]\n", 1)[0]
    assert "packages[0].wheels: a package has one wheel, not 2" in refused(
        changed(wheel, f"{wheel}, {wheel}")
    )


def test_a_package_without_wheels_is_refused() -> None:
    wheel = CANONICAL.split("wheels = [", 1)[1].split("]\n", 1)[0]
    assert "packages[0].wheels: a package has one wheel, not 0" in refused(changed(wheel, ""))


def test_a_package_that_is_listed_twice_is_refused() -> None:
    block = CANONICAL.split("\n\n")[1]
    assert "packages[1].name: duplicate name ml-dtypes, also in packages[0]" in refused(
        changed(block, f"{block}\n\n{block}")
    )


@pytest.mark.parametrize(
    "tag",
    ["cp312-cp312-manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_28_aarch64", "cp27-none-any",
     "cp311-cp311-musllinux_1_2_x86_64", "cp311-cp311-win_amd64", "cp312-abi3-manylinux1_x86_64"],
)  # fmt: skip
def test_a_wheel_for_something_else_is_refused(tag: str) -> None:
    text = CANONICAL.replace("ml_dtypes-0.6.0-py3-none-any", f"ml_dtypes-0.6.0-{tag}")
    assert "is not for CPython 3.11 on linux/amd64" in refused(text)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b.whl", "x.whl", "x-1-py3-none.zip", ""])
def test_a_file_that_is_no_wheel_or_leaves_its_folder_is_refused(name: str) -> None:
    assert "packages[0].wheels[0]" in refused(
        CANONICAL.replace("ml_dtypes-0.6.0-py3-none-any.whl", name)
    )


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_lock_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(CANONICAL) - 1))
    piece = data.draw(st.sampled_from(["", '"', "\n", "[", "0", "é", "\0", "=", "packages = []\n"]))
    text = CANONICAL[:at] + piece + CANONICAL[at + data.draw(st.integers(0, 40)) :]
    with contextlib.suppress(InputError):
        pylock.read(text, file="x")


def test_deep_nesting_is_refused() -> None:
    assert "a line is longer" in refused("a = " + "[" * 100_000)
    assert "not TOML" in refused("a = " + "[" * 4000)


def test_a_text_that_would_need_escapes_cannot_be_written() -> None:
    with pytest.raises(InputError, match="can't contain"):
        pylock.write(
            PythonLock(
                environment='"',
                python="3.11",
                resolution=LOCK.resolution,
                resolver="uv 1",
                packages=(),
            )
        )
