"""The error of all readers of archives."""

from typing import ClassVar

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError

_HINT = "the archive is corrupt or malicious: fetch it again, or ask its publisher"


class UnsafeError(InputError):
    """An archive that is corrupt, ambiguous or unsafe to unpack (exit 2)."""

    default_code: ClassVar[Code] = Code.LAYER_UNSAFE

    def __init__(
        self, message: str, *, where: str = "", hint: str = _HINT, code: Code | None = None
    ) -> None:
        super().__init__(message, where=where, hint=hint, code=code)
