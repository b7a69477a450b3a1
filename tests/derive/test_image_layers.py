"""Which layers an image has, in which order, and which of them a change leaves alone."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import image_layers
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.derive.image_leaves import SourceFile
from mpbuild.derive.layers.layer_plan import DEBS, FILES, STORED, WHEELS, Leaf
from mpbuild.formats.debian.deblock import DebianLock, DebianPackage
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage

LARGE = image_layers.OWN_LAYER_SIZE
NONE = Digest.of(b"")


def package(name, size=1000, version="1.0"):
    return PythonPackage(
        name=name,
        version=version,
        wheel=LockedWheel(
            filename=f"{name}-{version}-py3-none-any.whl",
            sha256=Digest.of(f"{name} {version}".encode()),
            size=size,
        ),
    )


def debian(name, *, base):
    return DebianPackage(
        name=name,
        version="1:1.0-1",
        architecture="amd64",
        base=base,
        path=f"pool/main/{name[0]}/{name}/{name}_1.0-1_amd64.deb",
        sha256=Digest.of(name.encode()),
        size=1000,
    )


def locks(packages, debs=(("python3.11-minimal", True),), environment="cpu"):
    return EnvironmentLocks(
        PythonLock(
            environment=environment,
            python="3.11",
            resolution=NONE,
            resolver="uv 0.13.9",
            packages=tuple(sorted(packages, key=lambda p: p.name)),
        ),
        DebianLock(
            environment=environment,
            suite="bookworm",
            architecture="amd64",
            resolution=NONE,
            packages=tuple(debian(name, base=base) for name, base in debs),
        ),
    )


def environment(packages, **more):
    return image_layers.environment_layers(locks(packages, **more), "3.11")


def wheels_of(layers):
    return [tuple(plan.inputs) for plan in layers if plan.rule == WHEELS]


SIZES = st.sampled_from([1000, 5000, LARGE - 1, LARGE, 50 * LARGE])
PACKAGES = st.dictionaries(
    st.from_regex("[a-z]{1,3}", fullmatch=True), SIZES, min_size=1, max_size=60
).map(lambda found: [package(name, size) for name, size in found.items()])


@settings(max_examples=60)
@given(PACKAGES, st.sampled_from([1000, 9 * LARGE]))
def test_a_new_package_disturbs_few_layers(packages, size):
    """A small package changes only its group; a large one gets a layer, or that of the smallest."""
    name = "new-one"
    before = set(wheels_of(environment(packages)))
    after = set(wheels_of(environment([*packages, package(name, size)])))
    disturbed = before - after
    large = [p for p in packages if p.wheel.size >= LARGE]
    if size < LARGE:
        assert len(disturbed) <= 1
        assert len(after - before) == 1
    elif len(large) < image_layers.OWN_LAYERS:
        assert not disturbed
        assert after - before == {(package(name, size).wheel.filename,)}
    else:
        assert len(disturbed) <= 2


@settings(max_examples=60)
@given(PACKAGES, st.data())
def test_a_new_version_of_a_package_disturbs_its_own_layer_alone(packages, data):
    old = data.draw(st.sampled_from(packages))
    new = package(old.name, old.wheel.size, version="2.0")
    before = environment(packages)
    after = environment([new if p is old else p for p in packages])
    differing = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(differing) == 1
    assert old.wheel.filename in differing[0][0].inputs
    assert new.wheel.filename in differing[0][1].inputs


@settings(max_examples=40)
@given(PACKAGES)
def test_every_wheel_is_in_exactly_one_layer_and_large_ones_have_their_own(packages):
    rows = wheels_of(environment(packages))
    named = [filename for row in rows for filename in row]
    assert sorted(named) == sorted(p.wheel.filename for p in packages)
    alone = {row[0] for row in rows if len(row) == 1}
    large = {p.wheel.filename for p in packages if p.wheel.size >= LARGE}
    assert len(large - alone) <= max(0, len(large) - image_layers.OWN_LAYERS)


@settings(max_examples=20)
@given(PACKAGES, st.randoms(use_true_random=False))
def test_the_order_of_the_lock_decides_nothing(packages, random):
    shuffled = random.sample(packages, len(packages))
    one, other = (environment(row) for row in (packages, shuffled))
    assert one == other


@pytest.mark.parametrize("size", [1000, LARGE, 100 * LARGE])
def test_200_packages_make_fewer_than_60_layers(model, size):
    packages = [package(f"p{i:03}", size + i) for i in range(200)]
    debs = [("python3.11-minimal", True), ("libgomp1", False)]
    given_locks = {"cpu": locks(packages, debs), "train": locks([])}
    layers = image_layers.image_layers(
        model, Accelerator.CPU, given_locks, (), ["mpbuild_runtime/run.py"]
    )
    assert len(layers) < 60


SOURCES = (
    SourceFile("extra.py", "extra.py"),
    SourceFile("src/digits/model.py", "src/**/*.py"),
    SourceFile("src/digits/tool.py", "src/**/*.py", executable=True),
)


@pytest.fixture
def image(model):
    packages = [package("numpy", 20 * LARGE), package("small"), package("tiny")]
    debs = [("libgomp1", False), ("libstdc++6", True), ("python3.11-minimal", True)]
    both = {"cpu": locks(packages, debs), "train": locks(packages, debs, "train")}
    runtime = ["mpbuild_runtime/run.py", "mpbuild_runtime/__init__.py"]
    return image_layers.image_layers(model, Accelerator.CPU, both, SOURCES, runtime)


def test_layers_that_change_rarely_come_first(image):
    assert [plan.title.partition(":")[0] for plan in image[:3]] == ["base", "system", "numpy 1.0"]
    assert [plan.rule for plan in image[-5:]] == [FILES, FILES, STORED, STORED, FILES]
    assert [plan.title for plan in image[-5:]] == [
        "mpbuild runtime",
        "code",
        "weights classifier 3.0.0",
        "weights labels 1.0.0",
        "spec and locks",
    ]
    assert {plan.rule for plan in image[2:-5]} == {WHEELS}


def test_titles_tell_people_what_is_in_a_layer(image):
    assert [plan.title for plan in image[:2]] == [
        "base: 2 Debian packages",
        "system: 1 Debian packages",
    ]
    titles = {title for plan in image[3:-5] for title in plan.title.split(", ")}
    assert titles == {"small 1.0", "tiny 1.0"}


def test_a_title_decides_nothing_that_is_derived(image):
    """Plans that only differ in the title have the same action."""
    assert all("title" not in plan.parameters for plan in image)


def test_the_base_alone_is_finished_as_a_base(image):
    assert [(plan.rule, plan.parameters) for plan in image[:2]] == [
        (DEBS, {"python": "3.11", "base": True}),
        (DEBS, {"python": "3.11", "base": False}),
    ]
    assert list(image[1].inputs) == ["libgomp1_1.0-1_amd64.deb"]


def test_without_further_debian_packages_there_is_no_layer_for_them():
    assert [plan.rule for plan in environment([])] == [DEBS]


def test_sources_lose_the_folders_before_the_wildcard(image):
    code = image[-4]
    assert code.inputs == {
        "opt/model/src/extra.py": Leaf("source", "extra.py"),
        "opt/model/src/digits/model.py": Leaf("source", "src/digits/model.py"),
        "opt/model/src/digits/tool.py": Leaf("source", "src/digits/tool.py"),
    }
    assert code.executable == ("opt/model/src/digits/tool.py",)


def test_two_sources_with_one_path_in_the_image_are_refused(model):
    sources = [SourceFile("src/model.py", "src/*.py"), SourceFile("lib/model.py", "lib/*.py")]
    with pytest.raises(InputError, match=r"have the same path /opt/model/src/model\.py") as caught:
        image_layers.image_layers(
            model, Accelerator.CPU, {"cpu": locks([]), "train": locks([])}, sources, ()
        )
    assert caught.value.findings[0].code == "spec-invalid"


def test_a_source_that_two_patterns_match_is_one_file(model):
    sources = [SourceFile("src/model.py", "src/*.py"), SourceFile("src/model.py", "src/m*.py")]
    layers = image_layers.image_layers(
        model, Accelerator.CPU, {"cpu": locks([]), "train": locks([])}, sources, ()
    )
    assert list(layers[-4].inputs) == ["opt/model/src/model.py"]


def test_weights_come_from_their_step_or_their_file(image):
    assert [plan.inputs for plan in image[-3:-1]] == [
        {"opt/model/weights/classifier": Leaf("step", "train/classifier.onnx")},
        {"opt/model/weights/labels": Leaf("source", "weights/labels.bin")},
    ]


def test_the_last_layer_carries_spec_and_the_locks_of_image_and_steps(image):
    assert image[-1].inputs == {
        "opt/model/spec.json": Leaf("spec", "spec.json"),
        "opt/model/locks/pylock.cpu.toml": Leaf("lock", "pylock.cpu.toml"),
        "opt/model/locks/debian.cpu.toml": Leaf("lock", "debian.cpu.toml"),
        "opt/model/locks/pylock.train.toml": Leaf("lock", "pylock.train.toml"),
        "opt/model/locks/debian.train.toml": Leaf("lock", "debian.train.toml"),
    }


def test_the_entry_point_is_executable(image):
    assert image[-5].executable == ("opt/mpbuild/bin/mpbuild-run",)
    assert image[-5].inputs["opt/mpbuild/bin/mpbuild-run"] == Leaf(
        "runtime", "mpbuild_runtime/mpbuild-run"
    )


def test_an_image_begins_with_the_layers_of_its_environment(model, image):
    packages = [package("numpy", 20 * LARGE), package("small"), package("tiny")]
    debs = [("libgomp1", False), ("libstdc++6", True), ("python3.11-minimal", True)]
    alone = environment(packages, debs=debs)
    assert image[: len(alone)] == alone
    assert all(a != b for a, b in pairwise(image))


@settings(max_examples=20)
@given(PACKAGES)
def test_layers_of_wheels_know_nothing_of_the_model(packages):
    assume(packages)
    for plan in environment(packages):
        assert all(isinstance(source, Digest) for source in plan.inputs.values())
        assert msgspec.structs.asdict(plan)["executable"] == ()
