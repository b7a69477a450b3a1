"""Addresses as text: the login in one, and what of one may be told; imports little."""

from urllib.parse import unquote, urlsplit, urlunsplit

from mpbuild.base.redaction import redacted


def split_login(url: str) -> tuple[str, str]:
    """``url`` without its ``user:password@``, and these, unquoted; empty where it has none."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    return (urlunsplit(parts._replace(netloc=host)), unquote(login)) if at else (url, "")


def shown(url: str) -> str:
    """``url`` as it may stand in a message: without credentials, query and fragment."""
    return redacted(url).split("?", 1)[0].split("#", 1)[0]
