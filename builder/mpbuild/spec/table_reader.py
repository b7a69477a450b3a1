"""Reads whole tables and makes their JSON Schema, from their declarations (tables.py)."""

import functools
import inspect
import types
import typing
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from mpbuild.spec.kinds import Boolean, Choice, Integer, Number, Scalar, Schema, Text
from mpbuild.spec.place import Place, Reading, nearest, shown
from mpbuild.spec.tables import Alternative, Items, Table, Variants


class Array(msgspec.Struct, frozen=True):
    """An array of values of a kind; tables in it have unique ``name`` keys, if any."""

    blank: ClassVar[tuple[Any, ...]] = ()

    item: "Kind"
    items: Items = Items()

    def read(self, value: Any, at: Place) -> tuple[Any, ...] | None:
        """Returns the items, with blanks for wrong ones."""
        if not isinstance(value, list):
            at.wrong(f"expected an array, found {shown(value)}")
            return None
        if len(value) < self.items.least:
            at.wrong(f"expected at least {self.items.least}, found {len(value)}")
        found = tuple(_or_blank(self.item, raw, at / i) for i, raw in enumerate(value))
        if self.items.distinct:
            _refuse_duplicates(value, at, "")
        elif isinstance(self.item, NestedTable) and self.item.named:
            _refuse_duplicates([table.name for table in found], at, "name")
        return found

    def schema(self) -> Schema:
        """Returns the schema of an array."""
        found: Schema = {"type": "array", "items": self.item.schema()}
        if self.items.least:
            found["minItems"] = self.items.least
        return found | ({"uniqueItems": True} if self.items.distinct else {})


class NamedTables(msgspec.Struct, frozen=True):
    """A table whose keys are names that the author chooses."""

    blank: ClassVar[types.MappingProxyType[str, Any]] = types.MappingProxyType({})

    name: Text | Choice
    value: "Kind"
    items: Items = Items()
    variants: dict[str, "NestedTable"] = {}

    def read(self, value: Any, at: Place) -> dict[str, Any] | None:
        """Returns the values by name, without wrong names."""
        if not isinstance(value, dict):
            at.wrong(f"expected a table, found {shown(value)}")
            return None
        if len(value) < self.items.least:
            at.wrong(f"expected at least {self.items.least}, found {len(value)}")
        names = {key: self.name.read(key, at / key) for key in value}
        return {
            name: _or_blank(self._kind(key), value[key], at / key)
            for key, name in names.items()
            if name is not None
        }

    def schema(self) -> Schema:
        """Returns the schema of an object without other names."""
        found: Schema = {"type": "object", "additionalProperties": False}
        if isinstance(self.name, Choice):
            found["properties"] = {str(word): self._kind(word).schema() for word in self.name.words}
        else:
            found["patternProperties"] = {self.name.schema()["pattern"]: self.value.schema()}
        return found | ({"minProperties": self.items.least} if self.items.least else {})

    def _kind(self, name: str) -> "Kind":
        return self.variants.get(name, self.value)


class NestedTable(msgspec.Struct, frozen=True):
    """A table as its class declares it."""

    table: type[Table]

    @property
    def blank(self) -> Table:
        """Returns the table of blanks and defaults only."""
        blank = self.read({}, Place(Reading()))
        assert blank is not None, "a table is never refused as a whole"
        return blank

    @property
    def named(self) -> bool:
        """Whether ``name`` identifies such a table."""
        return "name" in self.table.__struct_fields__

    def read(self, value: Any, at: Place) -> Table | None:
        """Returns the table; reports its faults, then runs its own check."""
        if not isinstance(value, dict):
            at.wrong(f"expected a table, found {shown(value)}")
            return None
        self._refuse_unknown(value, at)
        made = self.table(**{key.name: key.read(value, at) for key in keys(self.table)})
        self._choose(value, at)
        made.check(at)
        return made

    def _refuse_unknown(self, value: dict[str, Any], at: Place) -> None:
        known = [key.name for key in keys(self.table)]
        for name in value:
            if name in self.table.LATER:
                (at / name).not_yet()
            elif name not in known:
                close = nearest(name, [*known, *self.table.LATER])
                (at / name).report(
                    f"unknown key {at / name}" + (f"; {close}" if close else ""),
                    hint=f"known keys: {', '.join(known)}",
                )

    def _choose(self, value: dict[str, Any], at: Place) -> None:
        ways = self.table.ALTERNATIVES
        if ways and not any(_chosen(way, ways, value) for way in ways):
            wanted = " | ".join(" and ".join(way.required) for way in ways)
            found = dict.fromkeys(key for way in ways for key in way.keys if key in value)
            at.wrong(f"expected exactly one of {wanted}; found {' and '.join(found) or 'none'}")

    def schema(self) -> Schema:
        """Returns the schema of an object with descriptions, without other keys."""
        found: Schema = {
            "type": "object",
            "description": inspect.getdoc(self.table),
            "properties": {key.name: key.schema() for key in keys(self.table)},
            "required": [key.name for key in keys(self.table) if key.required],
            "additionalProperties": False,
        }
        ways = self.table.ALTERNATIVES
        if ways:
            found["oneOf"] = [
                {
                    "required": list(way.required),
                    "properties": dict.fromkeys(sorted(_foreign(way, ways)), False),
                }
                for way in ways
            ]
        return found


Kind = Text | Choice | Integer | Number | Boolean | Scalar | Array | NamedTables | NestedTable


class TableKey(msgspec.Struct, frozen=True):
    """A key of a table as its field's annotation and default declare it."""

    name: str
    kind: Kind
    description: str
    required: bool
    default: Any

    def read(self, table: dict[str, Any], at: Place) -> Any:
        """Returns the key's value in ``table``; a default or a blank if it is missing or wrong."""
        if self.name in table:
            found = self.kind.read(table[self.name], at / self.name)
            if found is not None:
                return found
        elif self.required:
            place = at / self.name
            place.report(f"missing key {place}", hint=f"{self.name}: {self.description}")
        return self.kind.blank if self.required else self.default

    def schema(self) -> Schema:
        """Returns the kind's schema with description and, except for tables, default."""
        found = self.kind.schema() | {"description": self.description}
        if isinstance(self.default, tuple):
            found["default"] = list(self.default)
        elif isinstance(self.default, bool | str):
            found["default"] = self.default
        return found


@functools.cache
def keys(table: type[Table]) -> tuple[TableKey, ...]:
    """The keys of a table in the order of declaration."""
    return tuple(_key(field) for field in msgspec.structs.fields(table))


def _key(field: msgspec.structs.FieldInfo) -> TableKey:
    _, *notes = typing.get_args(field.type)
    description = next(note for note in notes if isinstance(note, str))
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    required = default is msgspec.NODEFAULT
    return TableKey(field.encode_name, kind_of(field.type), description, required, default)


def kind_of(hint: Any) -> Kind:
    """Returns the kind of an annotation."""
    notes: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *rest = typing.get_args(hint)
        notes = tuple(rest)
    for note in notes:
        if isinstance(note, Kind):
            return note
    items = next((note for note in notes if isinstance(note, Items)), Items())
    variants = next((note for note in notes if isinstance(note, Variants)), Variants({}))
    return _structural(hint, items, variants)


def _structural(hint: Any, items: Items, variants: Variants) -> Kind:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return kind_of(next(part for part in parts if part is not types.NoneType))
    if origin is tuple:
        return Array(kind_of(parts[0]), items)
    if origin is dict:
        name = typing.cast(Text | Choice, kind_of(parts[0]))
        own = {name: NestedTable(table) for name, table in variants.tables.items()}
        return NamedTables(name, kind_of(parts[1]), items, own)
    if hint is bool:
        return Boolean()
    if issubclass(hint, StrEnum):
        return Choice(words=tuple(hint), parse=hint)
    assert issubclass(hint, Table), f"no kind for the annotation {hint}"
    return NestedTable(hint)


def _or_blank(kind: Kind, value: Any, at: Place) -> Any:
    found = kind.read(value, at)
    return kind.blank if found is None else found


def _refuse_duplicates(values: list[Any], at: Place, key: str) -> None:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if not isinstance(value, str) or not value:
            continue
        if value in seen:
            place = at / index / key if key else at / index
            place.wrong(f"duplicate {shown(value)}")
        seen.add(value)


def _chosen(way: Alternative, ways: tuple[Alternative, ...], value: dict[str, Any]) -> bool:
    return set(way.required) <= value.keys() and not _foreign(way, ways) & value.keys()


def _foreign(way: Alternative, ways: tuple[Alternative, ...]) -> set[str]:
    """The keys that belong to other alternatives only."""
    return {key for other in ways for key in other.keys} - set(way.keys)
