"""The vocabulary of the formats: the kinds of values in tables, by name."""

import keyword
from enum import StrEnum
from typing import Annotated

from mpbuild.base import units, version
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.dotted_version import DottedVersion
from mpbuild.base.errors import InputError
from mpbuild.base.version import Version
from mpbuild.spec import paths
from mpbuild.spec.expressions import licence, requirement
from mpbuild.spec.kinds import Choice, Integer, Number, Scalar, Text
from mpbuild.spec.path_kinds import (
    FILE,
    INNER,
    PATTERN,
    Location,
    fault_of_file,
    fault_of_inner,
    fault_of_step_input,
)

_NAME = "[a-z0-9][a-z0-9-]*"
_NAME_HINT = "lower-case letters, digits and hyphens, beginning with a letter or digit"
_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_NUMBER = "(?:0|[1-9][0-9]*)"
_SHA256 = "sha256:[0-9a-f]{64}"


class Datatype(StrEnum):
    """The element types of the Open Inference Protocol v2 (section "Tensor Data Types")."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"


class AcceptableCode(StrEnum):
    """The codes of audit findings that a spec may accept, with a reason."""

    FILE_COLLISION = Code.FILE_COLLISION.value
    ENTRY_POINT_COLLISION = Code.ENTRY_POINT_COLLISION.value
    TAG_MISMATCH = Code.TAG_MISMATCH.value
    UNDECLARED_DEPENDENCY = Code.UNDECLARED_DEPENDENCY.value
    FRAMEWORK_SKEW = Code.FRAMEWORK_SKEW.value
    ELF_UNMET = Code.ELF_UNMET.value


class Suite(StrEnum):
    """The Debian releases that bases can use."""

    BOOKWORM = "bookworm"
    TRIXIE = "trixie"

    @property
    def python(self) -> str:
        """The version of the release's only interpreter."""
        return {Suite.BOOKWORM: "3.11", Suite.TRIXIE: "3.13"}[self]


INTERPRETERS = "the base provides the only interpreter: bookworm has Python 3.11, trixie has 3.13"


def _entry_point(text: str) -> str:
    reserved = [name for name in text.replace(":", ".").split(".") if keyword.iskeyword(name)]
    if reserved:
        raise InputError(f"{reserved[0]!r} is a Python keyword, so {text!r} can't be imported")
    return text


def _floor(text: str) -> DottedVersion:
    return DottedVersion(text.removeprefix(">="))


Name = Annotated[str, Text(what="a name", pattern=_NAME, hint=_NAME_HINT, longest=100)]
EnvironmentName = Annotated[
    str,
    Text(
        what="an environment name",
        pattern=rf"(?!(?:cpu|cuda|rocm)$){_NAME}",
        hint=f"{_NAME_HINT}; cpu, cuda and rocm are reserved for accelerators",
        longest=100,
    ),
]
TensorName = Annotated[
    str,
    Text(
        what="a tensor or parameter name",
        pattern="[A-Za-z_][A-Za-z0-9_.:/-]*",
        hint="letters, digits and _ . : / - beginning with a letter or _",
        longest=100,
    ),
]
Line = Annotated[
    str,
    Text(what="a line of text", pattern=r"[^\x00-\x20\x7f][^\x00-\x1f\x7f]*"),
]
Prose = Annotated[
    str,
    Text(
        what="non-empty text",
        pattern=r"[^\x00-\x08\x0b-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x08\x0b-\x1f\x7f]*",
    ),
]
Argument = Annotated[
    str, Text(what="an argument without NUL", pattern=r"[^\x00]*", longest=100_000)
]
SemanticVersion = Annotated[
    Version,
    Text(
        what="a semantic version",
        pattern=version.PATTERN,
        hint='write MAJOR.MINOR.PATCH in quotes, such as "1.4.0"',
        longest=100,
        parse=Version,
    ),
]
Licence = Annotated[
    str,
    Text(
        what="an SPDX licence expression",
        pattern=r"[A-Za-z0-9(][A-Za-z0-9 .:+()-]*",
        hint='such as "Apache-2.0", "MIT OR Apache-2.0" or "LicenseRef-Proprietary"',
        parse=licence,
    ),
]
EntryPoint = Annotated[
    str,
    Text(
        what="an entry point",
        pattern=rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*:{_IDENTIFIER}",
        hint="write module.path:Class, such as digits.model:Model",
        parse=_entry_point,
    ),
]
Requirement = Annotated[
    str,
    Text(
        what="a requirement (PEP 508)",
        pattern=r"[A-Za-z0-9][^\x00-\x1f\x7f\\]*",
        hint='write a name and versions, such as "numpy>=2"; no paths and no options',
        parse=requirement,
    ),
]
DebianPackage = Annotated[
    str,
    Text(
        what="a Debian package name",
        pattern="[a-z0-9][a-z0-9+.-]+",
        hint="write the name alone, such as libgomp1; the lock pins its version",
        longest=100,
    ),
]
PythonVersion = Annotated[str, Choice(words=("3.11", "3.13"), hint=INTERPRETERS)]
DriverFloor = Annotated[
    DottedVersion,
    Text(
        what="a minimum driver version",
        pattern=r">=[0-9]{1,4}(?:\.[0-9]{1,4}){0,2}",
        hint='write >= and the version, such as ">=580" or ">=525.60.13"',
        parse=_floor,
    ),
]
CapabilityFloor = Annotated[
    DottedVersion,
    Text(
        what="a minimum compute capability",
        pattern=r">=[1-9][0-9]?\.[0-9]",
        hint='write >= and the capability, such as ">=7.5"',
        parse=_floor,
    ),
]
Gfx = Annotated[
    str,
    Text(
        what="an AMD processor",
        pattern="gfx[1-9][0-9]{1,2}[0-9a-f]",
        hint="write the LLVM target name, such as gfx90a or gfx1100",
    ),
]
LibraryName = Annotated[
    str,
    Text(
        what="a shared object name",
        pattern=r"[A-Za-z0-9_][A-Za-z0-9_+.-]*\.so(?:\.[A-Za-z0-9_]+)*",
        hint="write the soname with its version, such as libamdhip64.so.7",
        longest=200,
    ),
]
InstalledPath = Annotated[
    str,
    Text(
        what="a path of a file in a wheel",
        pattern=INNER,
        hint="write the path inside the wheel, such as package/plugins/libplugin.so",
        explain=fault_of_inner,
    ),
]
IndexName = Annotated[
    str,
    Text(
        what="an index name",
        pattern=_NAME,
        hint=f"{_NAME_HINT}; `default` has all packages that no other index owns",
        longest=100,
    ),
]
PackagePattern = Annotated[
    str,
    Text(
        what="a Python package name or prefix",
        pattern=r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?|[a-z0-9][a-z0-9-]*\*",
        hint="write a normalized name, such as torch, or a prefix, such as nvidia-*",
        longest=100,
    ),
]
PackageName = Annotated[
    str,
    Text(
        what="a Python package name",
        pattern="[a-z0-9](?:[a-z0-9-]*[a-z0-9])?",
        hint="write the normalized name, lower-case with hyphens, such as scikit-learn",
        longest=100,
    ),
]
RootedPath = Annotated[
    str,
    Text(
        what="an absolute path in the image",
        pattern=r"(?!.*/\.\.?(?:/|$))(?:/[A-Za-z0-9._+@-]+)+",
        hint="such as /usr/lib/x86_64-linux-gnu/libblas.so.3",
        longest=400,
    ),
]
SnapshotMoment = Annotated[
    str,
    Text(
        what="a snapshot timestamp",
        pattern=r"[12][0-9]{3}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
        r"T(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z",
        hint='write it in UTC as snapshot archives do, such as "20261101T000000Z"',
    ),
]
SchemaVersion = Annotated[int, Integer(what="1, the version of the format", least=1, most=1)]
Dimension = Annotated[
    int, Integer(what="a dimension (-1 for any length, or at least 1)", least=-1, without=(0,))
]
Quantity = Annotated[float, Number()]
Default = Annotated[
    bool | int | float | str,
    Scalar(text=Text(what="a string without NUL", pattern=r"[^\x00]*", longest=100_000)),
]
Sha256 = Annotated[
    Digest,
    Text(
        what="a sha256",
        pattern="[0-9a-f]{64}",
        hint="64 lower-case hexadecimal digits",
        parse=Digest.from_hex,
    ),
]
Duration = Annotated[
    int,
    Text(
        what="a positive duration",
        pattern=r"(?=[0-9.]*[1-9])[0-9]{1,12}(?:\.[0-9]{1,12})?(?:ms|s|m|h|d)",
        hint='write a number and one of ms, s, m, h or d, such as "10m"',
        parse=units.milliseconds,
    ),
]
Size = Annotated[
    int,
    Text(
        what="a positive size",
        pattern=r"(?=[0-9.]*[1-9])[0-9]{1,12}(?:\.[0-9]{1,12})?(?:KiB|MiB|GiB)",
        hint='write a number and one of KiB, MiB or GiB, such as "50GiB"',
        parse=units.size_in_bytes,
    ),
]
Url = Annotated[
    str,
    Text(
        what="a URL",
        pattern=r"https?://[A-Za-z0-9._:\[\]-]+(?:/[^\x00-\x20\x7f?#]*)?",
        hint="write http(s)://host/path without user, password or query: specs hold no credentials",
    ),
]
WeightUrl = Annotated[
    str,
    Text(
        what="a URL of weights",
        pattern=r"https://[A-Za-z0-9._:\[\]-]+/[^\x00-\x20\x7f?#@]+"
        r"|http://(?:localhost|127\.0\.0\.1)(?::[0-9]+)?/[^\x00-\x20\x7f?#@]+"
        r"|oci://[A-Za-z0-9._:\[\]-]+/[a-z0-9][a-z0-9._/-]*"
        rf"(?:@{_SHA256}|:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}(?:@{_SHA256})?)",
        hint="write https://host/path, oci://host/name:tag or oci://host/name@sha256:... without "
        "user, password or query",
    ),
]
FileSize = Annotated[int, Integer(what="a size in bytes", least=0)]
MachinePath = Annotated[
    str,
    Text(
        what="a path of a folder on this machine",
        pattern=r"(?:/|~/)[^\x00-\x1f\x7f]*",
        hint="write an absolute path, or one that begins with ~/",
    ),
]
FilePath = Annotated[str, Location(what="a file path", pattern=FILE, explain=fault_of_file)]
InnerPath = Annotated[
    str, Location(what="a path below this folder", pattern=INNER, explain=fault_of_inner)
]
FilePattern = Annotated[
    str, Location(what="a file path or pattern", pattern=PATTERN, explain=paths.fault)
]
StepInput = Annotated[
    str,
    Location(
        what="a path, a pattern or step:NAME/OUTPUT",
        pattern=rf"step:{_NAME}/{INNER}|(?!step:){PATTERN}",
        hint="write a path or pattern relative to this file, or step:NAME/OUTPUT",
        explain=fault_of_step_input,
    ),
]
