"""The environment that markers of requirements are evaluated in: CPython on linux/amd64.

The packaging specification "Dependency specifiers", section "Environment markers". All variables
are given, so that nothing of the machine that evaluates gets in.
"""

from packaging.requirements import Requirement


def environment(python: str) -> dict[str, str]:
    """The variables for a minor version of Python such as "3.11"."""
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
    """Whether ``requirement`` counts on Python ``python`` for who asks for ``extra``."""
    marker = requirement.marker
    return marker is None or marker.evaluate(environment(python) | {"extra": extra})
