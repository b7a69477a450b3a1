"""Edits the pins of fetched weights in a model.toml, and no other byte.

Replaces values at their positions in the text instead of writing the document anew, which would
change comments, blanks and line ends. (tomlkit does that for added keys.)
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.spec import toml_positions
from mpbuild.spec.place import Path

_QUOTES = re.compile(r'"""|\'\'\'|"|\'')
_INDENT = re.compile(r"[ \t]*")

Edit = tuple[slice, str]


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """The pin of fetched weights; ``size`` in bytes."""

    url: str
    sha256: Digest
    size: int


def write(text: str, pins: Mapping[int, Pin]) -> str:
    """Returns the text of a model.toml with ``pins`` for fetched weights, by their index.

    New keys follow the URL; comments, order, quotes and line ends stay.
    """
    values = toml_positions.values(text)
    edits = [edit for index, pin in pins.items() for edit in _edits(text, values, index, pin)]
    found = text
    for place, new in sorted(edits, key=lambda edit: edit[0].start, reverse=True):
        found = found[: place.start] + new + found[place.stop :]
    assert tomllib.loads(found) == _expected(text, pins), "an edit changed more than the pins"
    return found


def _edits(text: str, values: Mapping[Path, slice], index: int, pin: Pin) -> list[Edit]:
    weight = ("core", "weights", index)
    url = values[*weight, "url"]
    quote = _quote(text[url])
    texts = {"url": f"{quote}{pin.url}{quote}"}
    texts |= {"sha256": f"{quote[0]}{pin.sha256.hex}{quote[0]}", "size": str(pin.size)}
    there = {key: values[*weight, key] for key in texts if (*weight, key) in values}
    new = {key: value for key, value in texts.items() if key not in there}
    edits = [(place, texts[key]) for key, place in there.items()]
    if new:
        equals = "=" if text[url.start - 1] == "=" else " = "
        pairs = [f"{key}{equals}{value}" for key, value in new.items()]
        add = _beside if weight in values else _below
        edits.append(add(text, url, pairs))
    return edits


def _beside(_: str, url: slice, pairs: list[str]) -> Edit:
    """Adds keys in an inline table, behind the URL."""
    return slice(url.stop, url.stop), "".join(f", {pair}" for pair in pairs)


def _below(text: str, url: slice, pairs: list[str]) -> Edit:
    """Adds keys in a table with a header, in lines below the URL with its indentation."""
    begin = text.rfind("\n", 0, url.start) + 1
    indent = _INDENT.match(text, begin)
    assert indent, "the pattern also matches the empty string"
    lines = [f"{indent.group()}{pair}" for pair in pairs]
    end = text.find("\n", url.stop)
    if end >= 0:
        ending = "\r\n" if text[end - 1] == "\r" else "\n"
        return slice(end + 1, end + 1), "".join(f"{line}{ending}" for line in lines)
    ending = "\r\n" if text[begin - 2 : begin] == "\r\n" else "\n"
    return slice(len(text), len(text)), "".join(f"{ending}{line}" for line in lines)


def _quote(written: str) -> str:
    quote = _QUOTES.match(written)
    assert quote, "a URL is a string"
    return quote.group()


def _expected(text: str, pins: Mapping[int, Pin]) -> dict[str, Any]:
    data = tomllib.loads(text)
    for index, pin in pins.items():
        data["core"]["weights"][index] |= {
            "url": pin.url,
            "sha256": pin.sha256.hex,
            "size": pin.size,
        }
    return data
