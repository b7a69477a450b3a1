"""Parses expressions of other standards: SPDX licences and PEP 508 requirements."""

import functools
import re
from typing import Any

from mpbuild.base.errors import InputError
from mpbuild.spec.place import nearest

# SPDX specification 2.3, annex D: a reference to an unlisted licence.
_REFERENCE = re.compile(r"(?:DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")
_FOR_ANY = "MIT"
# The most common licences, known without the list, which takes longer to load than a small build.
COMMON = frozenset(
    {
        *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MPL-2.0", "Unlicense"),
        *("GPL-2.0-only", "GPL-3.0-only", "AGPL-3.0-only", "LGPL-3.0-only", "EPL-2.0"),
        *("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0"),
    }
)


def licence(text: str) -> str:
    """Returns ``text`` if it is an SPDX licence expression over listed licences and LicenseRefs."""
    if text in COMMON or _REFERENCE.fullmatch(text):
        return text
    from license_expression import ExpressionError

    licensing = _licensing()
    try:
        parsed = licensing.parse(_REFERENCE.sub(_FOR_ANY, text), strict=True)
    except (ExpressionError, LookupError, AssertionError, RecursionError) as error:
        # The parser reports some faults of malformed texts and fails on others.
        reason = f": {error}" if isinstance(error, ExpressionError) else ""
        raise InputError(f"not an SPDX licence expression: {text!r}{reason}") from error
    unknown = licensing.unknown_license_keys(parsed)
    if unknown:
        raise InputError(
            f"not an SPDX licence expression: {text!r}: unknown licence {unknown[0]!r}",
            hint=nearest(unknown[0], licensing.known_symbols)
            or "use identifiers of the SPDX licence list, or LicenseRef-NAME",
        )
    return text


def requirement(text: str) -> str:
    """Returns ``text`` if it is a PEP 508 requirement for a package of an index."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        parsed = Requirement(text)
    except (InvalidRequirement, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"not a requirement (PEP 508): {text!r}: {reason}",
            hint='write a name and versions, such as "numpy>=2"; no paths and no options',
        ) from error
    if parsed.url:
        raise InputError(
            f"{text!r} contains a URL; files come from the indexes of mpbuild.toml",
            hint=f'write the name and versions, such as "{parsed.name}>=1"',
        )
    return text


@functools.cache
def _licensing() -> Any:
    """The SPDX licence list, which is slow to import and to build."""
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
