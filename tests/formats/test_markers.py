"""Markers are evaluated for the image's platform, whatever machine evaluates them."""

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from mpbuild.formats.python.markers import applies, environment


def test_every_variable_has_a_value_that_is_none_of_this_machine():
    assert environment("3.11").keys() == default_environment().keys()
    assert environment("3.11")["python_version"] == "3.11"


@pytest.mark.parametrize(
    "marker",
    ["sys_platform == 'linux'", "os_name == 'posix' and platform_machine == 'x86_64'",
     "python_version >= '3.13'", "python_full_version < '3.14'", "extra == 'gpu'"],
)  # fmt: skip
def test_what_holds_in_the_image_applies(marker):
    assert applies(Requirement(f"a; {marker}"), "3.13", "gpu")


@pytest.mark.parametrize(
    "marker",
    ["sys_platform == 'darwin'", "python_version < '3.13'", "extra == 'cpu'",
     "platform_python_implementation == 'PyPy'"],
)  # fmt: skip
def test_what_does_not_hold_in_the_image_does_not_apply(marker):
    assert not applies(Requirement(f"a; {marker}"), "3.13", "gpu")


def test_a_requirement_without_a_marker_applies():
    assert applies(Requirement("a>=1"), "3.11")
