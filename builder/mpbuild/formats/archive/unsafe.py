"""The one refusal of an archive, whichever its format."""

from typing import ClassVar

from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError

_HINT = "the archive is damaged or made to deceive: get it again, or ask whoever published it"


class UnsafeError(InputError):
    """An archive that may not become a layer: broken, or open to two readings (exit 2)."""

    default_code: ClassVar[Code] = Code.LAYER_UNSAFE

    def __init__(
        self, message: str, *, where: str = "", hint: str = _HINT, code: Code | None = None
    ) -> None:
        super().__init__(message, where=where, hint=hint, code=code)
