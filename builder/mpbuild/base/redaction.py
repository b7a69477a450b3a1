"""Removes credentials from URLs in messages."""

import re

# Userinfo ends at the last @ before the path. Without one there, it ends at the last @ of a text
# that begins like a login, not like a port: passwords must not contain /, but some do.
_USERINFO = re.compile(r"(?<=//)(?:[^/\s]*@|[^/\s:@\[]+:(?![0-9]+/)[^\s'\"]*@)")


def redacted(text: str) -> str:
    """``text`` without the credentials in its URLs."""
    return _USERINFO.sub("", text)
