"""Signs as part of ``mpbuild build``."""

from pathlib import Path

from mpbuild.app.sign import SignedStatement, open_signer, own_record, sign
from mpbuild.base.digest import Digest
from mpbuild.base.errors import AnswerError
from mpbuild.cli.session import Session
from mpbuild.package.in_store import in_store
from mpbuild.package.package import Package


class Signing:
    """An opened key and the builder's id."""

    def __init__(self, session: Session, key: str, builder_id: str | None) -> None:
        self._session = session
        self._signer = open_signer(Path(session.directory, key))
        self._builder_id = builder_id

    def proven(self, package: Digest) -> bool:
        """Whether this user's own build is on record; a memo may be another user's."""
        try:
            own_record(package)
        except AnswerError:
            return False
        return True

    def sign(self, digest: Digest) -> SignedStatement:
        """Attaches a provenance to the package in the store."""
        package = Package(in_store(self._session.store(), digest))
        return sign(package, self._signer, self._builder_id)
