"""Reads a Debian archive and verifies everything with its keyring (Debian repository format).

A signed InRelease lists each index with its sha256 and size. Errors are EnvironmentFailureError:
fetch-failed if nothing is available, content-mismatch if the content is not what was signed.
"""

import gzip
import lzma
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, Finding, InputError
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.http.transport import MissingError
from mpbuild.effects.http.urls import shown
from mpbuild.formats.debian.control import Paragraph, read_paragraphs
from mpbuild.formats.debian.deblock import ARCHITECTURE
from mpbuild.formats.debian.packages_index import PackagesIndex
from mpbuild.formats.debian.release import listed_files

COMPONENT = "main"

_CLOCKS_DIFFER = timedelta(days=1)
_SUFFIXES = (".xz", ".gz", "")

Listed = dict[str, tuple[Digest, int]]


def shipped_keyring(suite: str) -> bytes:
    """Returns the keys of Debian's archive for ``suite``; raises InputError if there are none."""
    file = resources.files("mpbuild.effects.debian") / "keys" / f"debian-{suite}.pgp"
    if not suite.isalpha() or not file.is_file():
        raise InputError(
            f"mpbuild has no keys for the Debian suite {suite!r}",
            hint="give the base a `keyring`, or use bookworm or trixie",
        )
    return file.read_bytes()


def read_keyring(path: Path) -> bytes:
    """Reads a keyring of the workspace; raises InputError if that fails."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the keyring: {error.strerror}", where=str(path)) from error


class ArchiveMirrors(NamedTuple):
    """Roots of mirrors of an archive, and of the archive of its security updates.

    ``security`` is empty if these are excluded. ``snapshot`` is the requested time of the archive;
    None means today.
    """

    mirrors: Sequence[str]
    security: Sequence[str] = ()
    snapshot: datetime | None = None


def moment(snapshot: str) -> datetime:
    """Parses the time of a snapshot, in UTC; raises InputError."""
    try:
        return datetime.strptime(snapshot, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(f"not a valid time: {snapshot!r}") from error


def packages(
    suite: str, archive: ArchiveMirrors, *, keyring: bytes, now: datetime, web: HttpClient
) -> PackagesIndex:
    """Reads the index of ``suite``'s main packages for amd64, with its security updates.

    Each comes from the first mirror that has it. Skips mirrors that are unreachable, lack the
    suite, are stale or in the middle of an update. A wrong signature is an error, and so are
    requested security updates that cannot be read.
    """
    if archive.snapshot and archive.snapshot > now:
        raise InputError(f"the snapshot of {archive.snapshot:%Y-%m-%dT%H:%M:%SZ} is in the future")
    read = _Reader(keyring, now, archive.snapshot, web)
    index = read.first(suite, archive.mirrors)
    if not archive.security:
        return PackagesIndex(index)
    try:
        updates = read.first(f"{suite}-security", archive.security)
    except _UntrustedError:
        raise
    except EnvironmentFailureError as error:
        raise EnvironmentFailureError.collect(
            [_without_security(suite), *error.findings]
        ) from error
    return PackagesIndex(index, updates)


class _Reader(NamedTuple):
    keyring: bytes
    now: datetime
    snapshot: datetime | None
    web: HttpClient

    def first(self, suite: str, mirrors: Sequence[str]) -> str:
        """Returns the text of the index from the first mirror that has it."""
        failed: list[Finding] = []
        for mirror in mirrors:
            try:
                return self._index(suite, f"{mirror}/dists/{suite}")
            except _UntrustedError:
                raise
            except EnvironmentFailureError as error:
                failed += error.findings
        raise EnvironmentFailureError.collect(failed)

    def _index(self, suite: str, root: str) -> str:
        signed = self.web.read(f"{root}/InRelease", limit=limits.DEBIAN_RELEASE_BYTES)
        where = f"{shown(root)}/InRelease"
        release = _release(verified(signed, self.keyring, where), suite, where)
        self._check_time(release, where)
        return _index(release, root, self.web)

    def _check_time(self, release: Paragraph, where: str) -> None:
        latest = self.snapshot or self.now + _CLOCKS_DIFFER
        if _moment(release, "date", where) > latest:
            when = "later than the snapshot" if self.snapshot else "in the future"
            raise _stale(f"it is of {release['date']}, which is {when}", where)
        moment = self.snapshot or self.now
        if "valid-until" in release and _moment(release, "valid-until", where) < moment:
            raise _stale(f"it was valid until {release['valid-until']} only", where)


def verified(signed: bytes, keyring: bytes, where: str) -> bytes:
    """Returns the text of a cleartext-signed message that a key of ``keyring`` signed.

    RFC 9580, section 7. Text around the signed part is discarded.
    """
    import pysequoia

    try:
        certificates = pysequoia.Cert.split_bytes(keyring)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"cannot read the keyring: {_reason(error)}") from error
    try:
        message = pysequoia.verify(signed, lambda _: certificates)
    except (RuntimeError, ValueError) as error:
        raise _untrusted(_reason(error), where) from error
    if not message.valid_sigs or message.bytes is None:
        raise _untrusted("no valid signature of a known key", where)
    return bytes(message.bytes)


def _release(text: bytes, suite: str, where: str) -> Paragraph:
    release = next(read_paragraphs(_decoded(text, where)), {})
    names = (release.get("codename"), release.get("suite"))
    if suite not in names:
        raise _untrusted(f"the signed release is that of {names[0]}, not of {suite}", where)
    return release


def _moment(release: Paragraph, field: str, where: str) -> datetime:
    try:
        moment = parsedate_to_datetime(release.get(field, ""))
    except ValueError as error:
        raise _untrusted(f"its {field} is malformed", where) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _index(release: Paragraph, root: str, web: HttpClient) -> str:
    listed = listed_files(release)
    plain = f"{COMPONENT}/binary-{ARCHITECTURE}/Packages"
    hashed = release.get("acquire-by-hash", "").lower() == "yes"
    missing = [MissingError("the release lists no index of packages", where=shown(root))]
    for suffix in _SUFFIXES:
        if plain + suffix in listed:
            try:
                data = _file(plain + suffix, listed, root, web, hashed=hashed)
            except MissingError as error:
                missing.append(error)
            else:
                return _decoded(_unpacked(data, suffix, plain, listed), f"{shown(root)}/{plain}")
    raise missing[-1]


def _file(path: str, listed: Listed, root: str, web: HttpClient, *, hashed: bool) -> bytes:
    digest, size = listed[path]
    folder = path.rsplit("/", 1)[0]
    url = f"{root}/{folder}/by-hash/SHA256/{digest.hex}" if hashed else f"{root}/{path}"
    try:
        data = web.read(url, limit=size)
    except MissingError:
        if not hashed:
            raise
        return _file(path, listed, root, web, hashed=False)
    return _checked(data, digest, size, url)


def _checked(data: bytes, digest: Digest, size: int, where: str) -> bytes:
    if len(data) != size or Digest.of(data) != digest:
        raise EnvironmentFailureError(
            "the index is not the signed one",
            where=shown(where),
            code=Code.CONTENT_MISMATCH,
            hint="the mirror may be in the middle of an update: try again, or use another",
        )
    return data


def _unpacked(data: bytes, suffix: str, plain: str, listed: Listed) -> bytes:
    """Decompresses ``data``, up to the size that the release lists for the plain index."""
    size = listed[plain][1] if plain in listed else limits.DEBIAN_INDEX_BYTES
    try:
        if suffix == ".xz":
            text = _unxz(data, size + 1)
        elif suffix == ".gz":
            text = gzip.GzipFile(fileobj=BytesIO(data)).read(size + 1)
        else:
            text = data
    except (lzma.LZMAError, OSError, EOFError, zlib.error) as error:
        raise _broken(f"{plain}{suffix} cannot be decompressed: {error}") from error
    if len(text) > size or (plain in listed and listed[plain] != (Digest.of(text), len(text))):
        raise _broken(f"{plain}{suffix} does not decompress to the signed {plain}")
    return text


def _unxz(data: bytes, limit: int) -> bytes:
    decompressor = lzma.LZMADecompressor(memlimit=limits.DEBIAN_INDEX_BYTES)
    text = decompressor.decompress(data, limit)
    if not decompressor.eof and len(text) < limit:
        raise EOFError("it is truncated")
    return text


def _decoded(text: bytes, where: str) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _untrusted("it is not UTF-8", where) from error


def _reason(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _broken(message: str) -> EnvironmentFailureError:
    return EnvironmentFailureError(message, code=Code.CONTENT_MISMATCH)


class _UntrustedError(EnvironmentFailureError):
    """The content of a mirror is not signed by the keyring."""


def _untrusted(message: str, where: str) -> EnvironmentFailureError:
    return _UntrustedError(
        message,
        where=where,
        code=Code.CONTENT_MISMATCH,
        hint="releases must be signed by a key of the base's `keyring`",
    )


def _stale(message: str, where: str) -> EnvironmentFailureError:
    return EnvironmentFailureError(
        message,
        where=where,
        code=Code.CONTENT_MISMATCH,
        hint="use a mirror that is up to date; one of a snapshot has {snapshot} in its address",
    )


def _without_security(suite: str) -> Finding:
    return Finding(
        Code.FETCH_FAILED,
        f"cannot read the security updates of {suite}, which the base includes",
        hint="give the base `security_mirrors`, or set MPBUILD_DEBIAN_SECURITY_MIRROR; "
        "`security = false` does without",
    )
