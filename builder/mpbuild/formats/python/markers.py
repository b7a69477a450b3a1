"""Evaluates environment markers for CPython on linux/amd64.

Follows the packaging specification "Dependency specifiers", section "Environment markers". Every
variable has a fixed value, so the result does not depend on this machine.
"""

from packaging.requirements import Requirement


def environment(python: str) -> dict[str, str]:
    """The marker variables of a minor version of Python, such as "3.11"."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def applies(requirement: Requirement, python: str, extra: str = "") -> bool:
    """Whether ``requirement`` applies on Python ``python`` with ``extra`` requested."""
    marker = requirement.marker
    return marker is None or marker.evaluate(environment(python) | {"extra": extra})
