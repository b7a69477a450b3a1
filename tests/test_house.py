"""The picture in CONTRIBUTING.md and the code agree, and house rules hold that no linter knows."""

import ast
import re

import pytest

MOST_LINES = 350
MOST_MODULES = 12


def python_files(checkout, *folders):
    return sorted(path for folder in folders for path in (checkout / folder).rglob("*.py"))


def rooms(folder):
    """The subfolders that hold Python."""
    return {path.parent.name for path in folder.glob("*/__init__.py")}


@pytest.fixture(scope="module")
def picture(checkout):
    text = (checkout / "CONTRIBUTING.md").read_text()
    return text.partition("```\n")[2].partition("```")[0]


def test_the_picture_shows_exactly_the_rooms_of_the_builder(picture, checkout):
    shown = re.findall(r"^  (\w+)/ ", picture, re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert set(shown) == rooms(checkout / "builder/mpbuild")


def test_the_picture_shows_exactly_the_rules(picture, checkout):
    assert set(re.findall(r"^rules/(\w+)/ ", picture, re.MULTILINE)) == rooms(checkout / "rules")


def test_what_the_picture_names_at_the_top_exists(picture, checkout):
    lines = picture.splitlines()
    assert [
        name for name in (lines[0] + " " + lines[-1]).split() if not (checkout / name).exists()
    ] == []


def test_every_module_says_what_it_is_for(checkout):
    modules = python_files(checkout, "builder", "rules", "tests", "benchmarks")
    silent = [m for m in modules if ast.get_docstring(ast.parse(m.read_text())) is None]
    assert silent == []


def test_no_module_outgrows_one_head(checkout):
    lengths = {
        m: len(m.read_text().splitlines()) for m in python_files(checkout, "builder", "rules")
    }
    assert {module: length for module, length in lengths.items() if length > MOST_LINES} == {}


@pytest.mark.parametrize("room", ["app", "effects"])
def test_no_folder_of_a_room_outgrows_one_glance(room, checkout):
    crowded = {
        folder: len(modules)
        for folder in [
            checkout / "builder/mpbuild" / room,
            *(checkout / "builder/mpbuild" / room).rglob("*/"),
        ]
        if len(modules := [m for m in folder.glob("*.py") if m.name != "__init__.py"])
        > MOST_MODULES
    }
    assert crowded == {}


def test_no_two_public_classes_share_a_name(checkout):
    homes = {}
    for module in python_files(checkout, "builder", "rules/mpbuild_rules"):
        if "templates" not in module.parts:
            for node in ast.walk(ast.parse(module.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes.setdefault(node.name, []).append(module.relative_to(checkout).as_posix())
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_no_file_names_a_package_registry(checkout, checkout_files):
    """Which index serves a package is the user's business; locks and docs name none."""
    reason = "pip, which knows the host to look for, isn't installed"
    index = pytest.importorskip("pip._internal.models.index", reason=reason)
    hosts = (index.PyPI.netloc.encode(), index.PyPI.file_storage_domain.encode())
    found = [
        f"{name}: {host.decode()}"
        for name in checkout_files
        for host in hosts
        if host in (checkout / name).read_bytes()
    ]
    assert found == []


def test_no_file_names_the_folder_of_its_checkout(checkout, checkout_files):
    here = re.compile(rb"(?<![\w./~-])" + re.escape(str(checkout).encode()) + rb"(?![\w-])")
    found = [name for name in checkout_files if here.search((checkout / name).read_bytes())]
    assert found == []
