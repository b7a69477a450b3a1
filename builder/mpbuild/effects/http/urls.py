"""URLs as text: splits off logins, and hides secrets in messages; imports little."""

from urllib.parse import unquote, urlsplit, urlunsplit

from mpbuild.base.redaction import redacted


def split_login(url: str) -> tuple[str, str]:
    """Splits a URL into one without login, and the unquoted ``user:password`` or nothing."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    return (urlunsplit(parts._replace(netloc=host)), unquote(login)) if at else (url, "")


def shown(url: str) -> str:
    """Returns ``url`` for messages: without login, query and fragment."""
    return redacted(url).split("?", 1)[0].split("#", 1)[0]
