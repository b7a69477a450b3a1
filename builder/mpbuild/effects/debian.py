"""A Debian archive, read so that nothing counts which its keyring doesn't vouch for.

The Debian repository format: a signed InRelease names each index by sha256 and size. WorldError
fetch-failed where nothing can be had, content-mismatch where what came isn't what was signed.
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

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError, WorldError
from mpbuild.effects.urls import shown
from mpbuild.effects.web import MissingError, Web
from mpbuild.formats import debindex
from mpbuild.formats.deblock import ARCHITECTURE

COMPONENT = "main"

_RELEASE_LIMIT = 16 << 20
_INDEX_LIMIT = 1 << 30
_CLOCKS_DIFFER = timedelta(days=1)
_SUFFIXES = (".xz", ".gz", "")

Listed = dict[str, tuple[Digest, int]]


def shipped_keyring(suite: str) -> bytes:
    """The keys of Debian's archive for ``suite``; raise InputError for a suite without any."""
    file = resources.files("mpbuild.effects") / "keys" / f"debian-{suite}.pgp"
    if not suite.isalpha() or not file.is_file():
        raise InputError(
            f"mpbuild has no keys for the Debian suite {suite!r}",
            hint="give the base a `keyring`, or use bookworm or trixie",
        )
    return file.read_bytes()


def read_keyring(path: Path) -> bytes:
    """A keyring of the workspace; raise InputError where it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the keyring can't be read: {error.strerror}", where=str(path)) from error


def packages(
    suite: str, mirrors: Sequence[str], *, keyring: bytes, now: datetime, web: Web
) -> debindex.Packages:
    """The index of ``suite``'s main packages for amd64, from the first mirror that has it.

    A mirror that has no release or can't be reached is passed over; one whose signature or bytes
    are wrong is an error.
    """
    failed: list[WorldError] = []
    for mirror in mirrors:
        root = f"{mirror}/dists/{suite}"
        try:
            signed = web.read(f"{root}/InRelease", limit=_RELEASE_LIMIT)
        except WorldError as error:
            failed.append(error)
            continue
        where = f"{shown(root)}/InRelease"
        release = _release(verified(signed, keyring, where), suite, now, where)
        return debindex.Packages(_index(release, root, web))
    raise WorldError.collect([finding for error in failed for finding in error.findings])


def verified(signed: bytes, keyring: bytes, where: str) -> bytes:
    """What a clear-signed message says, if a key of ``keyring`` signed it (RFC 9580, section 7).

    Text around the signed part is not in it.
    """
    import pysequoia

    try:
        certificates = pysequoia.Cert.split_bytes(keyring)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"the keyring can't be read: {_reason(error)}") from error
    try:
        message = pysequoia.verify(signed, lambda _: certificates)
    except (RuntimeError, ValueError) as error:
        raise _untrusted(_reason(error), where) from error
    if not message.valid_sigs or message.bytes is None:
        raise _untrusted("no valid signature of a known key", where)
    return bytes(message.bytes)


def _release(text: bytes, suite: str, now: datetime, where: str) -> debindex.Paragraph:
    release = next(debindex.paragraphs(_decoded(text, where)), {})
    names = (release.get("codename"), release.get("suite"))
    if suite not in names:
        raise _untrusted(f"it is the signed release of {names[0]}, not of {suite}", where)
    if _moment(release, "date", where) > now + _CLOCKS_DIFFER:
        raise _untrusted(f"it is of {release['date']}, which is yet to come", where)
    if "valid-until" in release and _moment(release, "valid-until", where) < now:
        raise _untrusted(f"it was valid until {release['valid-until']} only", where)
    return release


def _moment(release: debindex.Paragraph, field: str, where: str) -> datetime:
    try:
        moment = parsedate_to_datetime(release.get(field, ""))
    except ValueError as error:
        raise _untrusted(f"its {field} can't be read", where) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _index(release: debindex.Paragraph, root: str, web: Web) -> str:
    listed = debindex.release_files(release)
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


def _file(path: str, listed: Listed, root: str, web: Web, *, hashed: bool) -> bytes:
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
        raise WorldError(
            "the index is not the one that the release signs",
            where=shown(where),
            code="content-mismatch",
            hint="the mirror may be in the middle of an update: try again, or use another",
        )
    return data


def _unpacked(data: bytes, suffix: str, plain: str, listed: Listed) -> bytes:
    """``data`` decompressed, never beyond the size that the release gives the plain index."""
    size = listed[plain][1] if plain in listed else _INDEX_LIMIT
    try:
        if suffix == ".xz":
            text = _unxz(data, size + 1)
        elif suffix == ".gz":
            text = gzip.GzipFile(fileobj=BytesIO(data)).read(size + 1)
        else:
            text = data
    except (lzma.LZMAError, OSError, EOFError, zlib.error) as error:
        raise _broken(f"{plain}{suffix} can't be unpacked: {error}") from error
    if len(text) > size or (plain in listed and listed[plain] != (Digest.of(text), len(text))):
        raise _broken(f"{plain}{suffix} doesn't unpack to the {plain} that the release signs")
    return text


def _unxz(data: bytes, limit: int) -> bytes:
    decompressor = lzma.LZMADecompressor(memlimit=_INDEX_LIMIT)
    text = decompressor.decompress(data, limit)
    if not decompressor.eof and len(text) < limit:
        raise EOFError("it is cut off")
    return text


def _decoded(text: bytes, where: str) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _untrusted("it is not UTF-8", where) from error


def _reason(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


def _broken(message: str) -> WorldError:
    return WorldError(message, code="content-mismatch")


def _untrusted(message: str, where: str) -> WorldError:
    return WorldError(
        message,
        where=where,
        code="content-mismatch",
        hint="the base's `keyring` says whose releases count; unsigned ones never do",
    )
