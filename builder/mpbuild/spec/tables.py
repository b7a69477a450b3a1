"""The declarative language of specs: a struct is a table, annotations describe its keys.

A class under ``Table`` declares a table of the format. Each field is a key::

timeout: Annotated[Duration | None, "The time limit."] = None

The annotation's text is the description, the type is the kind of the value, and a key with a
default is optional. The types:

- ``Annotated[T, kind]``: a value of that kind; see kinds.py, and vocabulary.py for the names.
- An enumeration: one of its words.
- ``bool``: true or false.
- ``tuple[T, ...]``: an array; ``Items`` bounds its length and may require distinct items.
- ``dict[K, T]``: a table of tables with names of kind K; ``Variants`` gives names other classes.
- A ``Table``: that table.

table_reader.py makes both reader and JSON Schema from these declarations.
"""

from typing import ClassVar, NamedTuple

import msgspec

from mpbuild.spec.place import Place


class Alternative(NamedTuple):
    """An alternative: keys that belong together, and keys that may join them."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that belong to this alternative only."""
        return self.required + self.optional


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The base class of all tables.

    ``LATER`` names keys of the format that are not supported yet and refused. If there are
    ``ALTERNATIVES``, exactly one of them must be chosen.
    """

    LATER: ClassVar[tuple[str, ...]] = ()
    ALTERNATIVES: ClassVar[tuple[Alternative, ...]] = ()

    def check(self, at: Place) -> None:
        """Reports faults between the keys of this table; fields may be blank."""


class Variants(NamedTuple):
    """The names in a table of tables with more keys than the others, and their classes."""

    tables: dict[str, type[Table]]


class Items(NamedTuple):
    """The minimum number of items in an array or table of tables, and whether all must differ."""

    least: int = 0
    distinct: bool = False
