"""The declarative language of specs: a struct is a table, and its annotations say everything.

A class under ``Table`` declares a table of the format. Each field is a key::

    timeout: Annotated[Duration | None, "How long it may run."] = None

The annotation's text is the description, the type the kind of the value, and a default says that
the key may be left out. What a type means:

======================  =====================================================================
``Annotated[T, kind]``  a value of that kind: see kinds.py, and vocabulary.py for their names
an enumeration          one of its words
``bool``                true or false
``tuple[T, ...]``       an array; ``Items`` beside it says how many, and whether all differ
``dict[K, T]``          a table of tables whose names are of kind K; ``Variants`` beside it
                        says which names have a table of their own
a ``Table``             that table
======================  =====================================================================

structure.py makes reader and JSON Schema out of these declarations, so a key can't be in one and
not in the other.
"""

from typing import ClassVar, NamedTuple

import msgspec

from mpbuild.spec.place import Place


class Alternative(NamedTuple):
    """One of several ways to fill a table: keys that go together, and keys that may join them."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that belong to this way only."""
        return self.required + self.optional


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The root of all tables.

    ``LATER`` names keys of the format that nothing acts on yet; they are refused as such. Where
    ``ALTERNATIVES`` has any, exactly one of them must be chosen.
    """

    LATER: ClassVar[tuple[str, ...]] = ()
    ALTERNATIVES: ClassVar[tuple[Alternative, ...]] = ()

    def check(self, at: Place) -> None:
        """Report what is wrong between the keys of this table; fields may be blank."""


class Variants(NamedTuple):
    """Names of a table of tables whose tables have more keys than the others, and their classes."""

    tables: dict[str, type[Table]]


class Items(NamedTuple):
    """How many items an array or a table of tables has at least, and whether all must differ."""

    least: int = 0
    distinct: bool = False
