"""Finding codes: the closed set of reasons that mpbuild reports, each with its meaning.

Codes are public: programs match on them, and docs/cli.md lists them with these meanings.
"""

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """The reason code of a finding; ``meaning`` is the phrase that docs/cli.md gives it."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """A member from its value and its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # Input: the command line, the spec, the workspace.
    USAGE = "usage", "a mistake in the command line"
    SPEC_INVALID = "spec-invalid", "a mistake in `model.toml`, `mpbuild.toml` or a given name"
    NOT_SUPPORTED_YET = (
        "not-supported-yet",
        "a part of the format, or of what archives may hold, that this version does not support",
    )

    # Locks and resolvers.
    LOCK_MISSING = (
        "lock-missing",
        "an environment has no lock, or fetched weights have no pin",
    )
    LOCK_DRIFT = "lock-drift", "a lock was resolved from other requirements than the spec's"
    LOCK_MALFORMED = (
        "lock-malformed",
        "a lock is not in canonical form, or contains packages that the requirements don't lead to",
    )
    LOCK_DISAGREEMENT = (
        "lock-disagreement",
        "a second resolver reaches other names, versions or files",
    )
    LOCK_UNCHECKED = "lock-unchecked", "a second resolver could not be asked"
    LOCK_OUTDATED = (
        "lock-outdated",
        (
            "a warning or note: a Debian archive has security updates or newer versions of locked "
            "packages"
        ),
    )
    RESOLVER_WARNING = (
        "resolver-warning",
        (
            "the resolver warns, and a warning is an error: a missing extra, a yanked release, no "
            "upload dates"
        ),
    )
    WEIGHTS_MOVED = (
        "weights-moved",
        "a warning: the tag that weights were pinned from now names something else",
    )

    # The audit of locks.
    FILE_COLLISION = "file-collision", "two wheels install different bytes at one path"
    ENTRY_POINT_COLLISION = "entry-point-collision", "two wheels install the same script"
    TAG_MISMATCH = (
        "tag-mismatch",
        "a wheel's file name promises a platform that its WHEEL file does not",
    )
    UNDECLARED_DEPENDENCY = (
        "undeclared-dependency",
        "a wheel imports a module that nothing declares and the lock lacks",
    )
    FRAMEWORK_SKEW = (
        "framework-skew",
        "accelerators, or a framework and its plugin, have different releases",
    )
    ELF_UNMET = (
        "elf-unmet",
        "a shared object or symbol version that nothing in the image supplies",
    )

    # Building.
    STEP_FAILED = "step-failed", "a step exits with an error, times out or lacks an output"
    OUTPUT_UNDECLARED = "output-undeclared", "a step left an output that it did not declare"
    LAYER_UNSAFE = (
        "layer-unsafe",
        "an archive that would not unpack to the same safe tree everywhere",
    )
    CONTENT_MISMATCH = (
        "content-mismatch",
        "bytes that differ from their digest, or a document that breaks its format",
    )
    CONTENT_MISSING = (
        "content-missing",
        "a blob, a part of a package, a leaf or an input is absent and can't be obtained",
    )
    CONTENT_EXTRA = "content-extra", "a layer, file or child that nothing accounts for"
    RULE_MISSING = "rule-missing", "no rule of that name is installed"

    # Signing and reproducing.
    RECORD_UNPROVEN = (
        "record-unproven",
        "this user has no record of building the package to be signed",
    )
    PACKAGE_PARTIAL = (
        "package-partial",
        "a warning: the package to be signed lacks accelerators of its spec",
    )
    NOT_REPRODUCED = (
        "not-reproduced",
        (
            "a rerun gave other bytes than the package has; of `lock` a warning: two builds of a "
            "wheel differ"
        ),
    )

    # Verifying: evidence.
    SIGNATURE_MISSING = (
        "signature-missing",
        "nothing signed is attached, or a signature is empty",
    )
    BUNDLE_MALFORMED = (
        "bundle-malformed",
        "not a Sigstore bundle 0.3 with exactly one DSSE signature, or too much is attached",
    )
    PAYLOAD_TYPE = "payload-type", "the type of the signed payload is not in-toto's"
    SIGNATURE_INVALID = "signature-invalid", "the signature does not match its payload"
    SIGNER_UNKNOWN = "signer-unknown", "signed with another key, or with a certificate"
    STATEMENT_TYPE = "statement-type", "not an in-toto Statement v1"
    STATEMENT_MALFORMED = "statement-malformed", "a statement that breaks its schema"
    PREDICATE_TYPE = "predicate-type", "a statement of another type than provenance"
    PREDICATE_MALFORMED = (
        "predicate-malformed",
        "a provenance that breaks its schema or has another `buildType`",
    )

    # Verifying: joins.
    PROVENANCE_MISSING = "provenance-missing", "no provenance by the given key"
    SUBJECT_MISMATCH = (
        "subject-mismatch",
        "a statement about another subject, or an image that no index of the layout contains",
    )
    BUILDER_NOT_ALLOWED = "builder-not-allowed", "the builder has no id"
    PARAMETER_UNKNOWN = "parameter-unknown", "an external parameter of unknown meaning"
    DEPENDENCIES_INCOMPLETE = (
        "dependencies-incomplete",
        "the provenance lacks an input or a leaf of the package, or the digest of one",
    )
    LOCK_MISMATCH = (
        "lock-mismatch",
        "the lock in the package differs from the provenance's or the checkout's",
    )
    DERIVATION_MISMATCH = (
        "derivation-mismatch",
        "a derived part differs from what leaves and inputs give",
    )
    REFERRER_FOREIGN = "referrer-foreign", "a note: an attachment that does not count"

    # The environment: network, store, disk, sandbox.
    FETCH_FAILED = "fetch-failed", "a file could not be fetched from any of its sources"
    SANDBOX_UNAVAILABLE = (
        "sandbox-unavailable",
        "this machine forbids the sandbox; the hint names the setting to change",
    )
    STORE_IN_USE = "store-in-use", "another process uses the store, and `gc` does not wait"
    STORE_UNUSABLE = "store-unusable", "the store can't be read or written"
    DISK_FULL = "disk-full", "no space is left, or a quota is reached"
    SYSTEM = "system", "any other failure of the operating system"
    INTERRUPTED = "interrupted", "the user interrupted the command; exit code 130"
    INTERNAL = "internal", "a bug in mpbuild; exit code 70"
