"""Control data: paragraphs of fields (Debian policy 4.6, chapter 5).

Malformed data raises InputError (content-mismatch).
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError

Paragraph = Mapping[str, str]

_FIELD = re.compile(r"([!-,.-9;-~][!-9;-~]*):[ \t]*(.*)")


def read_paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Reads the paragraphs of a control file: lower-case field name to value.

    The lines of a multi-line value are joined by line feeds, each without its first space.
    """
    lines: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.strip(" \t"):
            lines.append(line)
        elif lines:
            yield {
                name.lower(): re.sub(r"\n[ \t]", "\n", value)
                for name, value in read_fields(lines).items()
            }
            lines = []


def read_fields(lines: Sequence[str]) -> dict[str, str]:
    """Reads one paragraph: field name to value, both as written, continuation lines included.

    The error of a malformed or duplicate field has the line as its ``where``, counted from 1.
    """
    fields: dict[str, str] = {}
    seen: set[str] = set()
    last = ""
    for number, line in enumerate(lines, 1):
        if last and line[:1] in (" ", "\t") and line.strip():
            fields[last] += f"\n{line}"
            continue
        match = _FIELD.fullmatch(line)
        if not match or match[1].lower() in seen:
            raise malformed(f"malformed or duplicate field: {line[:120]!r}", where=f"line {number}")
        last = match[1]
        seen.add(last.lower())
        fields[last] = match[2].rstrip(" \t\r")
    return fields


def required(fields: Paragraph, field: str) -> str:
    """The value of ``field``, which must be present and not empty."""
    if not fields.get(field):
        raise malformed(f"the paragraph of {fields.get('package', 'a package')} has no {field}")
    return fields[field]


def malformed(message: str, *, where: str = "") -> InputError:
    """The error of control data that breaks its format."""
    return InputError(message, where=where, code=Code.CONTENT_MISMATCH)
