"""Parts of one framework that belong together (code: framework-skew).

A plugin of JAX for CUDA is left out with a warning where its version is not jaxlib's
(``check_plugin_version`` of jaxlib's plugin_support.py); one for ROCm is loaded whatever it is, and
the metadata of some declare no bound. And variants of one model on two releases of its framework
are two models.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from packaging.version import Version

from mpbuild.audit.audited_environment import AuditedEnvironment, Observation
from mpbuild.base.codes import Code
from mpbuild.base.errors import Severity

_PLUGIN = re.compile(r"jax-(cuda|rocm)\d+-(?:plugin|pjrt)")
_AGREEING = {"cuda": 3, "rocm": 2}
"""How many places of a plugin's version must be jaxlib's."""

_FAMILIES: Mapping[str, re.Pattern[str]] = {
    "jax": re.compile(r"jax"),
    "jaxlib": re.compile(r"jaxlib"),
    "onnxruntime": re.compile(
        r"onnxruntime(?:-(?:gpu|migraphx|rocm|openvino|directml|training|training-rocm))?"
    ),
    "tensorflow": re.compile(r"tensorflow(?:-(?:cpu|gpu|intel|rocm))?"),
    "torch": re.compile(r"torch"),
}
"""Builds of one framework under several names: of each family a lock has one."""

_HINT = (
    "bound the versions to a release that all of them have; if the difference does no harm, say why"
    " in environment.accepted"
)


def check(subject: AuditedEnvironment) -> Iterator[Observation]:
    """Plugins of JAX that are of another release."""
    versions = subject.versions
    if "jaxlib" not in versions:
        return
    own = Version(versions["jaxlib"])
    for name, text in sorted(versions.items()):
        match = _PLUGIN.fullmatch(name)
        places = _AGREEING[match[1]] if match else 0
        if Version(text).release[:places] != own.release[:places]:
            yield Observation(
                Code.FRAMEWORK_SKEW,
                ("jaxlib", name),
                f"{name} {text} is for another release of JAX than jaxlib {own}",
                subject.at(name),
                f"depend on the {name} of release {own.base_version}, or on the JAX of its own",
            )


def across(subjects: Sequence[AuditedEnvironment]) -> Iterator[Observation]:
    """Frameworks of which the variants of one model run different releases.

    ``subjects`` are the accelerators'; what is after the minor version is told as a warning.
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
                    Code.FRAMEWORK_SKEW,
                    tuple(dict.fromkeys((one, other))),
                    f"{first.name} runs {one} {version} and {second.name} {other} {different}:"
                    f" their answers come from two releases of {family}",
                    second.at(other),
                    _HINT,
                    _severity(version, different),
                )


def _severity(one: Version, other: Version) -> Severity:
    return "warning" if one.release[:2] == other.release[:2] else "error"
