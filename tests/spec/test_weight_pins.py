"""Pins in a model.toml that people keep: the keys they are made of change, and no other byte."""

import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.spec.weight_pins import Pin, write

OLD, NEW = Digest.of(b"old"), Digest.of(b"new")
URL = "oci://registry.example/vision/digits:v1"
PIN = Pin(url=f"{URL}@{NEW}", sha256=NEW, size=1234)


def test_new_keys_follow_the_address_and_comments_stay() -> None:
    text = f"""\
# a model
[core]
version = "1.0.0"  # of all

[[core.weights]]
name = 'a'
  url = '{URL}' # where
version = "1"

# the labels come next
[io]
"""
    assert write(text, {0: PIN}) == text.replace(
        f"'{URL}' # where\n",
        f"'{PIN.url}' # where\n  sha256 = '{NEW.hex}'\n  size = 1234\n",
    )


def test_keys_that_are_there_keep_their_places() -> None:
    text = f"""\
[[core.weights]]
size=1 # bytes
sha256  =  "{OLD.hex}"
url = "{URL}@{OLD}"
"""
    assert write(text, {0: PIN}) == text.replace(OLD.hex, NEW.hex).replace("=1 #", "=1234 #")


def test_one_missing_key_is_added_alone() -> None:
    text = f'[[core.weights]]\r\nurl="{PIN.url}"\r\nsha256="{OLD.hex}"'
    assert write(text, {0: PIN}) == (
        f'[[core.weights]]\r\nurl="{PIN.url}"\r\nsize=1234\r\nsha256="{NEW.hex}"'
    )


def test_inline_tables_stay_on_their_line() -> None:
    text = f'[core]\nweights = [\n  {{name="a", url="{URL}" }}, # first\n  {{ url = "u" }},\n]'
    assert write(text, {0: PIN}) == text.replace(
        f'"{URL}"', f'"{PIN.url}", sha256="{NEW.hex}", size=1234'
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_a_missing_end_of_line_stays_missing(ending: str, last: bool) -> None:
    text = f"[[core.weights]]{ending}url = '''{URL}'''" + ending * last
    found = write(text, {0: PIN})
    lines = ("[[core.weights]]", f"url = '''{PIN.url}'''", f"sha256 = '{NEW.hex}'", "size = 1234")
    assert found == ending.join(lines) + ending * last


COMMENTS = ["", "# x = 1\n", "\n", "\n# [core]\n\n", " \t\n"]
TRAILS = ["", ' # said "so"', "\t#"]
QUOTES = ['"', "'", '"""', "'''"]
OTHERS = [
    'name = "a"',
    "version='1' # one",
    'note = """\n[[core.weights]]\nurl = 1\n"""',
    '"x.y"=[1,\n 2]',
]
HEADS = ["", "a = 1\n", "[core]\nversion = '1'\n", "# head\n[io]\n"]
BETWEEN = ["", "\n\n", "[[core.files]]\nname = 'f'\n", "[[core.files]]\n"]


class Weights:
    """A text with weights in it, and next to it the same text with their pins."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.before = self.after = ""
        self.pins: dict[int, Pin] = {}

    def pick(self, among: list[Any]) -> Any:
        return self.draw(st.sampled_from(among))

    def both(self, text: str) -> None:
        self.before += text
        self.after += text

    def keys(self, index: int) -> tuple[list[str], list[str], list[str]]:
        """The pairs of weights beside their address: as they were, pinned, and what is added.

        The address is the first of each.
        """
        pin = Pin(url=f"{URL}-{index}@{NEW}", sha256=NEW, size=self.draw(st.integers(0, 1 << 40)))
        quote, equals = self.pick(QUOTES), self.pick(["=", " = ", "\t=\t", " ="])
        url = f"url{equals}{quote}{URL}-{index}{quote}"
        had = self.draw(st.sets(st.sampled_from(["sha256", "size"])))
        old = {"sha256": f"'{OLD.hex}'", "size": "7"}
        before = [url, *(f"{key} = {value}" for key, value in old.items() if key in had)]
        if not self.draw(st.booleans()):
            return before, before, []
        self.pins[index] = pin
        new = {"sha256": f"{quote[0]}{NEW.hex}{quote[0]}", "size": str(pin.size)}
        pinned = [f"{key} = {value}" for key, value in new.items() if key in had]
        glue = "=" if equals in ("=", " =") else " = "
        added = [f"{key}{glue}{value}" for key, value in new.items() if key not in had]
        return before, [f"url{equals}{quote}{pin.url}{quote}", *pinned], added

    def inline(self, index: int) -> None:
        before, after, added = self.keys(index)
        self.both("{ name = 'a', ")
        self.before += ", ".join(before)
        self.after += ", ".join([after[0], *added, *after[1:]])
        self.both(self.pick(["", " "]) + "}" + self.pick([",", ",\n", " , # next\n"]))

    def with_header(self, index: int) -> None:
        before, after, added = self.keys(index)
        indent, trail = self.pick(["", "  ", "\t"]), self.pick(TRAILS)
        self.both(f"[[core.weights]]{self.pick(TRAILS)}\n")
        self.both(f"{self.pick(OTHERS)}\n{self.pick(COMMENTS)}")
        self.before += f"{indent}{before[0]}{trail}\n"
        self.before += "".join(f"{line}\n" for line in before[1:])
        self.after += f"{indent}{after[0]}{trail}\n"
        self.after += "".join(f"{indent}{line}\n" for line in added)
        self.after += "".join(f"{line}\n" for line in after[1:])
        self.both(self.pick(COMMENTS) + self.pick(BETWEEN))


@st.composite
def documents(draw: Any) -> tuple[str, str, dict[int, Pin]]:
    """A text, the same with the pins in it, and the pins."""
    weights = Weights(draw)
    if draw(st.booleans()):
        weights.both("core.weights = [" + weights.pick(["", "\n # c\n"]))
        for index in range(weights.pick([1, 2, 3])):
            weights.inline(index)
        weights.both("]\n")
    else:
        weights.both(weights.pick(HEADS))
        for index in range(weights.pick([1, 2, 3])):
            weights.with_header(index)
    if draw(st.booleans()):
        weights.before = weights.before.removesuffix("\n")
        weights.after = weights.after.removesuffix("\n")
    end = weights.pick(["\n", "\r\n"])
    texts = (text.replace("\n", end) for text in (weights.before, weights.after))
    return *texts, weights.pins


@settings(max_examples=300, deadline=None)
@given(documents())
def test_a_text_with_pins_differs_from_it_in_the_pins_alone(
    document: tuple[str, str, dict[int, Pin]],
) -> None:
    before, after, pins = document
    assert write(before, pins) == after
    assert write(after, pins) == after, "a second time changes nothing"


@settings(max_examples=100, deadline=None)
@given(documents())
def test_another_reader_of_toml_finds_the_same_pins(
    document: tuple[str, str, dict[int, Pin]],
) -> None:
    before, _, pins = document
    weights = tomlkit.parse(write(before, pins)).unwrap()["core"]["weights"]
    found = {i: (weights[i]["url"], weights[i]["sha256"], weights[i]["size"]) for i in pins}
    assert found == {i: (pin.url, pin.sha256.hex, pin.size) for i, pin in pins.items()}


def test_weights_that_lie_apart_and_whole_tables_on_a_line_are_found() -> None:
    apart = f'[[core.weights]]\nurl="{URL}"\n[io]\n[[core.weights]]\nurl="{URL}"\n[io.x]\n'
    data = tomllib.loads(write(apart, {1: PIN}))
    assert data["core"]["weights"][0] == {"url": URL}
    assert data["core"]["weights"][1]["size"] == 1234
    whole = f'core = {{ weights = [{{ "url" = "{URL}" }}] }}'
    (weight,) = tomllib.loads(write(whole, {0: PIN}))["core"]["weights"]
    assert weight == {"url": PIN.url, "sha256": NEW.hex, "size": 1234}
