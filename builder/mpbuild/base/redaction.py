"""What must not be told: credentials of addresses, wherever a text has them."""

import re

# It ends at the last @ before the path; where none is there, behind what begins like a login and
# like no port: a password must have no / in it, and people's have.
_USERINFO = re.compile(r"(?<=//)(?:[^/\s]*@|[^/\s:@\[]+:(?![0-9]+/)[^\s'\"]*@)")


def redacted(text: str) -> str:
    """``text`` without the credentials of any address in it."""
    return _USERINFO.sub("", text)
