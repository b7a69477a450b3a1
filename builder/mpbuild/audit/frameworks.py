"""Checks that the parts of a framework have matching versions (code: framework-skew).

JAX ignores a CUDA plugin whose version does not match jaxlib's, with a warning
(``check_plugin_version`` in jaxlib's plugin_support.py), but loads any ROCm plugin; some plugins
declare no bound. Variants of a model on different releases of a framework give different answers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from packaging.version import Version

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, Severity

_PLUGIN = re.compile(r"jax-(cuda|rocm)\d+-(?:plugin|pjrt)")
_AGREEING = {"cuda": 3, "rocm": 2}
"""The number of leading version components that plugin and jaxlib must share."""

_FAMILIES: Mapping[str, re.Pattern[str]] = {
    "jax": re.compile(r"jax"),
    "jaxlib": re.compile(r"jaxlib"),
    "onnxruntime": re.compile(
        r"onnxruntime(?:-(?:gpu|migraphx|rocm|openvino|directml|training|training-rocm))?"
    ),
    "tensorflow": re.compile(r"tensorflow(?:-(?:cpu|gpu|intel|rocm))?"),
    "torch": re.compile(r"torch"),
}
"""The names of each framework's builds; a lock has one of each family."""

_HINT = (
    "constrain the versions to a release that all of them have; if the difference is harmless,"
    " give the reason in environment.accepted"
)


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Yields JAX plugins of another release."""
    versions = subject.versions
    if "jaxlib" not in versions:
        return
    own = Version(versions["jaxlib"])
    for name, text in sorted(versions.items()):
        match = _PLUGIN.fullmatch(name)
        places = _AGREEING[match[1]] if match else 0
        if Version(text).release[:places] != own.release[:places]:
            yield Observation(
                Finding(
                    Code.FRAMEWORK_SKEW,
                    f"{name} {text} is for another release of JAX than jaxlib {own}",
                    subject.at(name),
                    f"depend on {name} {own.base_version}, or on the matching JAX",
                ),
                ("jaxlib", name),
            )


def across(subjects: Sequence[AuditedEnvironment]) -> Iterator[Observation]:
    """Yields frameworks that the accelerators of a model have in different releases.

    A difference after the minor version is a warning.
    """
    for family, names in _FAMILIES.items():
        found = [
            (subject, name, Version(text))
            for subject in subjects
            for name, text in subject.versions.items()
            if names.fullmatch(name)
        ]
        for (first, one, version), (second, other, different) in combinations(found, 2):
            if first is not second and version.public != different.public:
                yield Observation(
                    Finding(
                        Code.FRAMEWORK_SKEW,
                        f"{first.name} runs {one} {version} and {second.name} {other} {different}:"
                        f" their answers come from two releases of {family}",
                        second.at(other),
                        _HINT,
                        _severity(version, different),
                    ),
                    tuple(dict.fromkeys((one, other))),
                )


def _severity(one: Version, other: Version) -> Severity:
    return "warning" if one.release[:2] == other.release[:2] else "error"
