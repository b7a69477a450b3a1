"""Reads the projects of a package index: a simple repository, or a folder of wheels.

The packaging specification "Simple repository API" (PEP 503, 592, 658, 691, 700), in JSON or HTML.
"""

import html
import posixpath
import re
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import msgspec
from packaging.utils import canonicalize_name, parse_wheel_filename

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, MpbuildError
from mpbuild.effects.http.client import Document, HttpClient
from mpbuild.effects.http.transport import MissingError
from mpbuild.effects.http.urls import shown
from mpbuild.effects.python.indexes import PythonIndex

_LIMIT = 64 << 20
_HTML = "text/html"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,198}[a-z0-9])?")
_BASE = re.compile(rb"<base\b", re.IGNORECASE)


class ProjectFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a project as the index describes it; unknown fields are empty or None.

    ``metadata`` is the digest of the wheel's METADATA beside it (PEP 658), or ``true``; ``yanked``
    is None or the reason.
    """

    filename: str
    url: str
    sha256: Digest | None = None
    size: int | None = None
    uploaded: datetime | None = None
    requires_python: str = ""
    metadata: str = ""
    yanked: str | None = None


class Projects:
    """Reads projects of indexes: each page once, folders every time."""

    def __init__(self, web: HttpClient) -> None:
        self._web = web
        self._files: dict[tuple[PythonIndex, str], tuple[ProjectFile, ...]] = {}
        self._names: dict[PythonIndex, frozenset[str]] = {}

    def files(self, index: PythonIndex, name: str) -> tuple[ProjectFile, ...]:
        """Returns the files of the project ``name`` (normalized); none if it does not exist.

        URLs contain the index's login if they are on its host; local files that a server links to
        are left out. Raises EnvironmentFailureError (fetch-failed) if the index cannot be read.
        """
        if index.flat:
            return _in_folder(index, name)
        key = (index, name)
        if key not in self._files:
            self._files[key] = self._page(index, name)
        return self._files[key]

    def names(self, index: PythonIndex) -> frozenset[str]:
        """Returns the normalized names of all projects, without invalid names.

        Raises EnvironmentFailureError if the index does not list them.
        """
        if index.flat:
            return _folder_names(index)
        if index not in self._names:
            self._names[index] = self._listed(index)
        return self._names[index]

    def _page(self, index: PythonIndex, name: str) -> tuple[ProjectFile, ...]:
        try:
            page = self._read(index, f"{name}/")
        except MissingError:
            return ()
        base = _base(page)
        files = (_file(found, base, index) for found in _parsed(page, name, "files"))
        schemes = ("http", "https", *(["file"] if index.url.startswith("file:") else []))
        return tuple(file for file in files if urlsplit(file.url).scheme in schemes)

    def _listed(self, index: PythonIndex) -> frozenset[str]:
        try:
            page = self._read(index, "")
        except MissingError as error:
            raise EnvironmentFailureError(
                f"the index {index.name} doesn't list its projects, so no pattern of names can be"
                " matched with them",
                where=shown(index.url),
                hint=f"list full names in indexes.{index.name}.packages",
            ) from error
        listed = (str(project.get("name")).strip() for project in _parsed(page, "", "projects"))
        return frozenset(name for name in map(canonicalize_name, listed) if _NAME.fullmatch(name))

    def _read(self, index: PythonIndex, path: str) -> Document:
        from mousebender.simple import ACCEPT_SUPPORTED

        url = f"{index.url.rstrip('/')}/{path}"
        if not url.startswith("file:"):
            return self._web.document(url, accept=ACCEPT_SUPPORTED, limit=_LIMIT)
        if not path and not (_path(url) / "index.html").is_file():
            names = [entry.name for entry in _path(url).iterdir() if entry.is_dir()]
            return Document(
                url, _HTML, "".join(f"<a>{html.escape(name)}</a>" for name in names).encode()
            )
        data = self._web.read(f"{url}index.html", limit=_LIMIT)
        return Document(url, _HTML, data)


def _in_folder(index: PythonIndex, name: str) -> tuple[ProjectFile, ...]:
    return tuple(
        ProjectFile(filename=path.name, url=path.as_uri(), size=path.stat().st_size)
        for path in _wheels(index)
        if _name_of(path) == name
    )


def _folder_names(index: PythonIndex) -> frozenset[str]:
    return frozenset(name for name in map(_name_of, _wheels(index)) if name)


def _wheels(index: PythonIndex) -> list[Path]:
    """The wheels of a folder; none if the folder is made later."""
    try:
        return sorted(
            path for path in index.folder.iterdir() if path.suffix == ".whl" and path.is_file()
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"the folder of the index {index.name} can't be read: {error.strerror}"
        raise EnvironmentFailureError(message, where=str(index.folder)) from error


def _name_of(path: Path) -> str:
    """The normalized name of a wheel's package; empty if the file name is not a wheel's."""
    try:
        return parse_wheel_filename(path.name)[0] if path.name.isprintable() else ""
    except ValueError:
        return ""


def _path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _parsed(page: Document, name: str, key: str) -> list[Mapping[str, Any]]:
    """The value of ``key`` in the form of PEP 691; without a name, of the list of all projects."""
    from mousebender import simple

    media_type = page.media_type.partition(";")[0].strip().lower()
    try:
        text = page.data.decode("utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", simple.APIVersionWarning)
            details: Any = (
                simple.parse_project_details(text, media_type, name)
                if name
                else simple.parse_project_index(text, media_type)
            )
        return [dict(found) for found in details[key]]
    except (
        *(ValueError, LookupError, TypeError, RecursionError),
        *(simple.UnsupportedMIMEType, simple.UnsupportedAPIVersion),
    ) as error:
        raise EnvironmentFailureError(
            f"not a page of a package index: {error}", where=shown(page.url)
        ) from error


class _BaseReader(HTMLParser):
    """Finds the first base URL of a page (HTML, "The base element")."""

    href = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "base" and not self.href:
            self.href = dict(attrs).get("href") or ""


def _base(page: Document) -> str:
    """The URL that the links of a page are relative to."""
    reader = _BaseReader()
    if "html" in page.media_type and _BASE.search(page.data):
        reader.feed(page.data.decode("utf-8", "replace"))
    try:
        return urljoin(page.url, reader.href)
    except ValueError:
        return page.url


def _file(found: Mapping[str, Any], base: str, index: PythonIndex) -> ProjectFile:
    try:
        url = urljoin(base, _text(found["url"]))
        digits = found.get("hashes", {}).get("sha256")
        return ProjectFile(
            filename=posixpath.basename(_text(found["filename"])),
            url=index.with_login(url.partition("#")[0]),
            sha256=Digest.from_hex(digits) if digits else None,
            size=_size(found.get("size")),
            uploaded=_moment(found.get("upload-time")),
            requires_python=_text(found.get("requires-python") or ""),
            metadata=_metadata(found.get("core-metadata", found.get("dist-info-metadata"))),
            yanked=_yanked(found.get("yanked", False)),
        )
    except (
        *(MpbuildError, ValueError, LookupError, AttributeError, TypeError, OverflowError),
    ) as error:
        raise EnvironmentFailureError(
            f"the index has a malformed entry for {found.get('filename')!a}: {error!a}",
            where=shown(base),
        ) from error


def _text(value: Any) -> str:
    """Returns ``value`` if it is valid Unicode text; raises TypeError or ValueError."""
    if not isinstance(value, str):
        raise TypeError(f"{value!a} is not a string")
    value.encode()
    return value


def _size(value: Any) -> int | None:
    if value is None or (type(value) is int and 0 <= value < 1 << 63):
        return value
    raise ValueError(f"{value!a} is not a size")


def _moment(text: str | None) -> datetime | None:
    """Parses an upload time (PEP 700); times without a zone are in UTC."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _metadata(value: Any) -> str:
    if isinstance(value, dict):
        return f"sha256={_text(value['sha256'])}" if value.get("sha256") else "true"
    return "true" if value else ""


def _yanked(value: Any) -> str | None:
    if value is False or value is None:
        return None
    return _text(value) if isinstance(value, str) else ""
