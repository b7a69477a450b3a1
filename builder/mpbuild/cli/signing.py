"""Signing as part of building: in the process that built, or over this user's own record."""

from pathlib import Path
from typing import Any

from mpbuild.app.sign import open_signer, own_record, sign
from mpbuild.base.digest import Digest
from mpbuild.base.errors import AnswerError
from mpbuild.cli.session import Session
from mpbuild.package.package import in_store
from mpbuild.package.referrers import StoreReferrers


class Signing:
    """An opened key, and who it is that builds."""

    def __init__(self, session: Session, key: str, builder_id: str | None) -> None:
        self._session = session
        self._signer = open_signer(Path(session.directory, key))
        self._builder_id = builder_id

    def proven(self, package: Digest) -> bool:
        """Whether this user built it: a memo that somebody else left proves nothing."""
        try:
            own_record(package)
        except AnswerError:
            return False
        return True

    def sign(self, digest: Digest) -> dict[str, Any]:
        """Attach a provenance to the package in the store."""
        store = self._session.store()
        package = in_store(store, digest).open()
        return sign(package, StoreReferrers(store), self._signer, self._builder_id)
