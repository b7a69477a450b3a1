"""The position scanner knows the line of every path that tomllib finds, and of no other."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.spec.place import Path
from mpbuild.spec.toml_positions import lines, values


def paths_in(value: Any, path: Path = ()) -> set[Path]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    found = {path} if path else set()
    return found.union(*(paths_in(item, (*path, key)) for key, item in items))


KEYS = [
    ("bare", "bare"),
    ("3_-x", "3_-x"),
    ('"quoted key"', "quoted key"),
    (r'"a\"]\\ \u0041 = # ."', 'a"]\\ A = # .'),
    ("'literal \\ . [x] \"'", 'literal \\ . [x] "'),
    ('""', ""),
]
SCALARS = [
    "1",
    "-0x1F".removeprefix("-"),
    "6.5e-3",
    "inf",
    "true",
    "1979-05-27T07:32:00Z",
    "1979-05-27 07:32:00",
    "07:32:00",
    '"text # no comment"',
    r'"\\"',
    r'"\"] , } \""',
    "'C:\\'",
    "''",
    '""',
    '"""one\ntwo = 2\n[three]\n"""',
    '"""a "quoted" ""two"" end"""""',
    '"""\\"""\\\n  x"""',
    "'''one\n'two' ''\\\n'''''",
    "''''''",
]
GAPS = ["", " ", "\n", " # ] } comment\n", "\n\n\t"]


class Writer:
    """Writes a document and keeps the line of everything in it."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Path, int] = {}
        self.count = 0

    def pick(self, options: list[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def here(self) -> int:
        return self.text.count("\n") + 1

    def key(self) -> tuple[str, str]:
        """A unique key, as written and as parsed."""
        self.count += 1
        written, meant = self.pick(KEYS)
        number = str(self.count)
        if written[0] in "\"'":
            return written[:-1] + number + written[-1], meant + number
        return written + number, meant + number

    def dotted(self, path: Path) -> Path:
        line = self.here()
        keys = [self.key() for _ in range(self.pick([1, 1, 2, 3]))]
        self.text += self.pick([".", " . ", "\t."]).join(written for written, _ in keys)
        for _, meant in keys:
            path = (*path, meant)
            self.lines[path] = line
        return path

    def pair(self, table: Path, depth: int) -> None:
        path = self.dotted(table)
        self.text += self.pick(["=", " = ", "\t=\t"])
        self.value(path, depth)

    def value(self, path: Path, depth: int) -> None:
        kind = self.pick(["scalar", "scalar", "array", "inline"]) if depth else "scalar"
        if kind == "scalar":
            self.text += self.pick(SCALARS)
        elif kind == "array":
            self.array(path, depth)
        else:
            self.inline(path, depth)

    def array(self, path: Path, depth: int) -> None:
        self.text += "[" + self.pick(GAPS)
        count = self.pick([0, 1, 2, 3])
        for index in range(count):
            self.lines[*path, index] = self.here()
            self.value((*path, index), depth - 1)
            self.text += self.pick(GAPS)
            last = index == count - 1
            self.text += ("," if not last else self.pick(["", ","])) + self.pick(GAPS)
        self.text += "]"

    def inline(self, path: Path, depth: int) -> None:
        count = self.pick([0, 1, 2])
        self.text += "{ "
        for index in range(count):
            self.pair(path, depth - 1)
            self.text += " , " if index < count - 1 else " "
        self.text += "}"

    def pairs(self, table: Path) -> None:
        for _ in range(self.pick([0, 1, 2])):
            self.text += self.pick(["", "  ", "\n", "# comment = 1\n"])
            self.pair(table, 2)
            self.text += self.pick(["\n", "  # end\n"])

    def table(self) -> None:
        line = self.here()
        (outer, outer_name), (inner, inner_name) = self.key(), self.key()
        self.text += f"[ {outer}.{inner} ]\n"
        self.lines[outer_name,] = self.lines[outer_name, inner_name] = line
        self.pairs((outer_name, inner_name))
        if self.draw(st.booleans()):
            self.lines[outer_name,] = self.here()
            self.text += f"[{outer}] # said later\n"
            self.pairs((outer_name,))

    def tables(self) -> None:
        written, name = self.key()
        below, below_name = self.key()
        for index in range(self.pick([1, 2, 3])):
            self.lines.setdefault((name,), self.here())
            self.lines[name, index] = self.here()
            self.text += f"[[{written}]]\n"
            self.pairs((name, index))
            for inner in range(self.pick([0, 1, 2])):
                self.lines.setdefault((name, index, below_name), self.here())
                self.lines[name, index, below_name, inner] = self.here()
                self.text += f"[[ {written} . {below} ]]  # inner\n"
                self.pairs((name, index, below_name, inner))
                deeper, deeper_name = self.key()
                self.lines[name, index, below_name, inner, deeper_name] = self.here()
                self.text += f"[{written}.{below}.{deeper}]\n"


@st.composite
def documents(draw: Any) -> tuple[str, dict[Path, int]]:
    writer = Writer(draw)
    writer.pairs(())
    for _ in range(draw(st.integers(0, 3))):
        draw(st.sampled_from([writer.table, writer.tables]))()
    return writer.text, writer.lines


@settings(max_examples=100, deadline=None)
@given(documents(), st.booleans())
def test_every_path_has_the_line_on_which_it_was_written(
    document: tuple[str, dict[Path, int]], windows: bool
) -> None:
    text, written = document
    text = text.replace("\n", "\r\n") if windows else text
    assert paths_in(tomllib.loads(text)) == set(written)
    assert lines(text) == written


def value_at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


@settings(max_examples=100, deadline=None)
@given(documents(), st.booleans())
def test_the_text_at_the_position_of_a_value_is_that_value(
    document: tuple[str, dict[Path, int]], windows: bool
) -> None:
    text = document[0].replace("\n", "\r\n") if windows else document[0]
    data = tomllib.loads(text)
    found = values(text)
    assert {
        path for path in paths_in(data) if not isinstance(value_at(data, path), dict | list)
    } <= (found.keys())
    for path, place in found.items():
        # As an item of an array, so that nothing else may stand behind it.
        assert tomllib.loads(f"x = [{text[place]}]")["x"] == [value_at(data, path)]
        assert text[place] == text[place].strip()


FRAGMENTS = ["a", "b", ".", " ", "=", "\n", "[", "]", "[[", "]]", "{", "}", ",", '"', '"""', "'"]
FRAGMENTS += [
    "'''",
    "#",
    "1",
    "a = 1\n",
    "[a]\n",
    "[[a]]\n",
    "\\",
    "\r\n",
    "true",
    '"x"',
    "[a.b]\n",
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))
def test_of_any_text_that_tomllib_reads_the_same_paths_are_found(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(lines(text)) == paths_in(data)


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a.b.c = 1\na.b.d = 2", ("a", "b", "d"), 2),
        ("a.b.c = 1\na.b.d = 2", ("a", "b"), 1),
        ("[a.b]\n\n[a]\nx = 1", ("a",), 3),
        ("[[a]]\n[[a]]\n[a.b]\nx = 1", ("a", 1, "b", "x"), 4),
        ("[[a]]\n[[a]]", ("a",), 1),
        ("x = [\n  1,\n  # 2\n  { y = [\n 3] },\n]", ("x", 1, "y", 0), 5),
        ('x = """\n\n"""\ny = 1', ("y",), 4),
        ('"a\\u0062" = 1', ("ab",), 1),
    ],
)
def test_the_line_of_a_path(text: str, path: Path, line: int) -> None:
    assert lines(text)[path] == line
