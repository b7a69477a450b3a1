"""Finding codes: the closed set of reasons that mpbuild reports, each with its meaning.

Codes are public: programs match on them, and docs/cli.md lists them with these meanings.
"""

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """The reason code of a finding; ``meaning`` is the phrase that docs/cli.md gives it."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Makes a member from its value and its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # Input: the command line, the spec, the workspace.
    USAGE = "usage", "a mistake in the command line"
    SPEC_INVALID = "spec-invalid", "a mistake in `model.toml`, `mpbuild.toml` or a given name"
    NOT_SUPPORTED_YET = (
        "not-supported-yet",
        "a part of a format, or a kind of archive content, that this version does not support",
    )

    # Locks and resolvers.
    LOCK_MISSING = (
        "lock-missing",
        "an environment has no lock, or fetched weights are not pinned",
    )
    LOCK_DRIFT = "lock-drift", "a lock was resolved from requirements other than those of the spec"
    LOCK_MALFORMED = (
        "lock-malformed",
        "a lock is not in canonical form, or contains packages that no requirement leads to",
    )
    LOCK_DISAGREEMENT = (
        "lock-disagreement",
        "a second resolver chooses other packages, versions or files",
    )
    LOCK_UNCHECKED = "lock-unchecked", "no second resolver could check the lock"
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
            "a warning of the resolver, which counts as an error: a missing extra, a yanked "
            "release, no upload dates"
        ),
    )
    WEIGHTS_MOVED = (
        "weights-moved",
        "a warning: the tag that weights were pinned from now points elsewhere",
    )

    # The audit of locks.
    FILE_COLLISION = "file-collision", "two wheels install different bytes at one path"
    ENTRY_POINT_COLLISION = "entry-point-collision", "two wheels install the same script"
    TAG_MISMATCH = (
        "tag-mismatch",
        "the file name of a wheel claims a platform that its WHEEL file does not",
    )
    UNDECLARED_DEPENDENCY = (
        "undeclared-dependency",
        "a wheel imports a module that it declares no dependency for and that the lock lacks",
    )
    FRAMEWORK_SKEW = (
        "framework-skew",
        "accelerators, or a framework and its plugin, have different releases",
    )
    ELF_UNMET = (
        "elf-unmet",
        "a shared object or symbol version that nothing in the image provides",
    )

    # Building.
    STEP_FAILED = "step-failed", "a step fails, times out or does not write an output"
    OUTPUT_UNDECLARED = "output-undeclared", "a step wrote an output that it does not declare"
    LAYER_UNSAFE = (
        "layer-unsafe",
        "an archive that does not unpack to the same safe tree everywhere",
    )
    CONTENT_MISMATCH = (
        "content-mismatch",
        "bytes that do not match their digest, or a document that breaks its format",
    )
    CONTENT_MISSING = (
        "content-missing",
        "a blob, a part of a package, a leaf or an input is missing and can't be obtained",
    )
    CONTENT_EXTRA = "content-extra", "a layer, file or child that nothing accounts for"
    RULE_MISSING = "rule-missing", "not exactly one rule of that name is installed"

    # Signing and reproducing.
    RECORD_UNPROVEN = (
        "record-unproven",
        "this user has no record of having built the package to be signed",
    )
    PACKAGE_PARTIAL = (
        "package-partial",
        "a warning: the package to be signed lacks some accelerators of its spec",
    )
    NOT_REPRODUCED = (
        "not-reproduced",
        (
            "a rerun gave other bytes than the package has; for `lock`, a warning: two builds of a "
            "wheel differ"
        ),
    )

    # Verifying: evidence.
    SIGNATURE_MISSING = (
        "signature-missing",
        "no signed evidence is attached, or a signature is empty",
    )
    BUNDLE_MALFORMED = (
        "bundle-malformed",
        "not a Sigstore bundle 0.3 with exactly one DSSE signature, or too many attachments",
    )
    PAYLOAD_TYPE = "payload-type", "the type of the signed payload is not in-toto's"
    SIGNATURE_INVALID = "signature-invalid", "the signature does not match its payload"
    SIGNER_UNKNOWN = "signer-unknown", "a signature by another key, or with a certificate"
    STATEMENT_TYPE = "statement-type", "not an in-toto Statement v1"
    STATEMENT_MALFORMED = "statement-malformed", "a statement that breaks its schema"
    PREDICATE_TYPE = "predicate-type", "a statement with a predicate other than provenance"
    PREDICATE_MALFORMED = (
        "predicate-malformed",
        "a provenance that breaks its schema or has an unknown `buildType`",
    )

    # Verifying: joins.
    PROVENANCE_MISSING = "provenance-missing", "no provenance by the given key"
    SUBJECT_MISMATCH = (
        "subject-mismatch",
        "a statement about another subject, or an image that is in no index of the layout",
    )
    BUILDER_NOT_ALLOWED = "builder-not-allowed", "the builder has no id"
    PARAMETER_UNKNOWN = "parameter-unknown", "an unknown external parameter"
    DEPENDENCIES_INCOMPLETE = (
        "dependencies-incomplete",
        "the provenance lacks an input or leaf of the package, or its digest",
    )
    LOCK_MISMATCH = (
        "lock-mismatch",
        "the lock in the package differs from the provenance's or the checkout's",
    )
    DERIVATION_MISMATCH = (
        "derivation-mismatch",
        "a derived part differs from its recomputation from leaves and inputs",
    )
    REFERRER_FOREIGN = (
        "referrer-foreign",
        "a note: an attachment that is not evidence for this package",
    )

    # Environment failures: network, store, disk, sandbox.
    FETCH_FAILED = "fetch-failed", "a file could not be fetched from any of its sources"
    SANDBOX_UNAVAILABLE = (
        "sandbox-unavailable",
        "this machine forbids the sandbox; the hint names the setting to change",
    )
    STORE_IN_USE = "store-in-use", "another process is using the store, and `gc` does not wait"
    STORE_UNUSABLE = "store-unusable", "the store can't be read or written"
    DISK_FULL = "disk-full", "no space is left, or a quota is exceeded"
    SYSTEM = "system", "any other failure of the operating system"
    INTERRUPTED = "interrupted", "the user interrupted the command; exit code 130"
    INTERNAL = "internal", "a bug in mpbuild; exit code 70"
