"""Source distributions (PEP 643) as tar archives."""

from collections.abc import Iterable, Mapping

from tests.making.tars import write_tar


def write_sdist(
    name: str,
    version: str,
    files: Mapping[str, str] | None = None,
    *,
    info: str = "",
    folder: str = "",
    more: Iterable[tuple] = (),
) -> bytes:
    """A source distribution with PKG-INFO and ``files``, all in ``folder`` or NAME-VERSION.

    ``info`` replaces the text of PKG-INFO; ``more`` are members as ``write_tar`` takes them, with
    whole paths.
    """
    info = info or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    folder = folder or f"{name}-{version}"
    texts = {"PKG-INFO": info, **(files or {})}
    members = [(f"{folder}/{path}", text.encode()) for path, text in texts.items()]
    return write_tar([*members, *more], compression="gz")
