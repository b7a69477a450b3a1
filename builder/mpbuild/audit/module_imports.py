"""Finds the modules of other packages that a wheel imports when it is imported itself.

It follows the statements that run on ``import``: from the top-level modules, at module level, into
the wheel's own modules. It skips functions, ``try`` and conditions, which may never run, so every
remaining import fails without the other package (The Python Language Reference, section 5). Imports
under ``if TYPE_CHECKING`` do not run, but show whose objects the modules use.
"""

import ast
import re
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from mpbuild.audit.wheel_facts import ForeignImport

LARGEST_MODULE = 1 << 20
"""The size of a module; larger ones are generated and not parsed."""

# Modules of the standard library that newer interpreters, which may run mpbuild, lack.
_REMOVED = frozenset(
    {
        *("aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt"),
        *("distutils", "imghdr", "imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib"),
        *("ossaudiodev", "pipes", "sndhdr", "smtpd", "spwd", "sunau", "telnetlib", "uu"),
        *("xdrlib"),
    }
)
_LIBRARY = sys.stdlib_module_names | _REMOVED | {"__main__"}
_OF_CHECKERS = frozenset({"_typeshed", "typing_extensions"})
_NATIVE = re.compile(r"(.+?)(\.[A-Za-z0-9_-]+)?\.(so|pyd)")
_SCHEMES = re.compile(r"[^/]+\.data/(purelib|platlib)/")

# CPython 3.11 counts the depth of syntax trees across threads, and warning filters are global.
_PARSING = threading.Lock()

Sources = Callable[[Sequence[str]], Iterable[tuple[str, bytes]]]


class ModuleGraph:
    """The modules of a wheel, by the names of its files."""

    def __init__(self, files: Collection[str]) -> None:
        self._files = dict(_python_modules(files))
        self._own = {module.partition(".")[0] for module in (*self._files, *provided(files))}
        self._found: dict[str, str] = {}
        self._typing: dict[str, str] = {}
        self.unparsed = 0

    @property
    def imports(self) -> tuple[ForeignImport, ...]:
        """Top-level modules of other packages, sorted, each with a file that imports it."""
        typing = {top: by for top, by in self._typing.items() if top not in self._found}
        return (
            *(ForeignImport(top, by) for top, by in sorted(self._found.items())),
            *(ForeignImport(top, by, typing=True) for top, by in sorted(typing.items())),
        )

    def follow(self, read: Sources, packed: Callable[[str], int], limit: int | None) -> None:
        """Follows the imports of the wheel's top-level modules, within ``limit`` bytes."""
        seen: set[str] = set()
        waiting = sorted(module for module in self._files if "." not in module)
        while waiting:
            seen.update(waiting)
            files = {self._files[module]: module for module in waiting}
            chosen, left = _affordable(files, packed, limit)
            self.unparsed += len(files) - len(chosen)
            limit = left
            following: set[str] = set()
            for file, source in read(chosen):
                following.update(self._look(files[file], file, source))
            waiting = sorted(following - seen)

    def _look(self, module: str, file: str, source: bytes) -> Iterator[str]:
        """Records imports of other packages; yields imports of own modules."""
        is_package = file.endswith("/__init__.py")
        body = _statements(source)
        for name in _imported(body, module, is_package=is_package):
            top = name.partition(".")[0]
            if top in self._own:
                yield from self._reached(name)
            elif top not in _LIBRARY:
                self._found.setdefault(top, file)
        for name in _imported(_for_checkers(body), module, is_package=is_package):
            top = name.partition(".")[0]
            if top not in self._own | _LIBRARY | _OF_CHECKERS:
                self._typing.setdefault(top, file)

    def _reached(self, name: str) -> Iterator[str]:
        """The modules that importing ``a.b.c`` runs: ``a`` and ``a.b``, too."""
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            module = ".".join(parts[:count])
            if module in self._files:
                yield module


def provided(files: Collection[str]) -> frozenset[str]:
    """Returns the top-level names that a wheel with these files makes importable."""
    found = set()
    for file in files:
        path = _SCHEMES.sub("", file)
        first, slash, _ = path.partition("/")
        if slash and not first.endswith((".dist-info", ".data")):
            found.add(first)
        elif not slash and path.endswith(".py"):
            found.add(path.removesuffix(".py"))
        elif not slash and (match := _NATIVE.fullmatch(path)):
            found.add(match[1])
    return frozenset(found)


def _python_modules(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    for file in files:
        path = _SCHEMES.sub("", file)
        if path.endswith(".py") and not path.partition("/")[0].endswith((".dist-info", ".data")):
            parts = path.removesuffix(".py").split("/")
            if parts[-1] == "__init__":
                parts.pop()
            if parts and all(part.isidentifier() for part in parts):
                yield ".".join(parts), file


def _affordable(
    files: Mapping[str, str], packed: Callable[[str], int], limit: int | None
) -> tuple[list[str], int | None]:
    if limit is None:
        return list(files), None
    chosen = []
    for file in files:
        if packed(file) <= limit:
            limit -= packed(file)
            chosen.append(file)
    return chosen, limit


def _statements(source: bytes) -> list[ast.stmt]:
    """The statements at module level; none if the source cannot be parsed."""
    try:
        with _PARSING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


def _for_checkers(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements under ``if TYPE_CHECKING`` or ``if typing.TYPE_CHECKING``."""
    for statement in body:
        if isinstance(statement, ast.If):
            test = statement.test
            name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
            if name == "TYPE_CHECKING":
                yield from statement.body


def _imported(body: Iterable[ast.stmt], module: str, *, is_package: bool) -> Iterator[str]:
    """The absolute names that the statements import."""
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from _from(statement, module, is_package=is_package)


def _from(statement: ast.ImportFrom, module: str, *, is_package: bool) -> Iterator[str]:
    base = statement.module or ""
    if statement.level:
        parts = module.split(".")
        up = statement.level - is_package
        if up >= len(parts):
            return
        parts = parts[: len(parts) - up]
        base = ".".join([*parts, *([base] if base else [])])
    if base:
        yield base
        yield from (f"{base}.{alias.name}" for alias in statement.names if alias.name != "*")
