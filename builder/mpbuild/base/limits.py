"""Every bound on what mpbuild reads, by format.

A reader refuses input beyond its bound, so hostile input costs bounded time and memory. Bounds that
a format declares, such as maxLength in the JSON Schema of model.toml, are part of its declaration.
"""

# JSON.

JSON_INTEGER = 2**53 - 1
"""The largest integer with one exact form in every JSON reader (RFC 8259, section 6)."""

# The workspace.

WORKSPACE_DOCUMENT_BYTES = 64 << 20
"""The size of a spec or a lock, which is read whole."""

# Files of the user.

KEY_BYTES = 1 << 16
"""The size of a key in a PEM file."""
INFERENCE_REQUEST_BYTES = 256 << 20
"""The size of an inference request, which is read whole."""

# Paths in archives.

PATH_BYTES = 4096
"""The length of a path or link target, as Linux limits it (PATH_MAX)."""
PATH_NAME_BYTES = 255
"""The length of one name in a path, as Linux file systems limit it (NAME_MAX)."""
PATH_FOLDERS = 100
"""The depth of a path."""

# Archives and compressed streams.

TAR_EXTENSION_BYTES = 1 << 20
"""The size of an extended header: pax records or a GNU long name."""
GZIP_TEXT_BYTES = 1 << 16
"""The length of the file name or comment in a gzip header."""
XZ_MEMORY_BYTES = 128 << 20
"""The memory that an xz stream may need; ``xz -9`` needs 65 MiB."""
ZIP_DIRECTORY_BYTES = 64 << 20
"""The size of a zip archive's central directory."""

# Python packages.

PYTHON_METADATA_BYTES = 16 << 20
"""The size of a metadata file, such as RECORD, METADATA or PKG-INFO."""
WHEEL_METADATA_BYTES = 4 << 20
"""The size of a metadata file of a wheel that the audit reads."""
SDIST_UNPACKED_BYTES = 1 << 30
"""The total size of a source distribution's files."""
SDIST_MEMBERS = 1 << 17
"""The number of a source distribution's files and folders."""

# Debian packages.

DEBIAN_RELEASE_BYTES = 16 << 20
"""The size of an InRelease file."""
DEBIAN_INDEX_BYTES = 1 << 30
"""The size of an uncompressed package index, and the memory to decompress it."""
DEB_CONTROL_BYTES = 64 << 20
"""The size of an uncompressed control.tar."""
DEB_DATA_BYTES = 2 << 30
"""The size of an uncompressed data.tar."""

# Locks.

LOCK_LINE_CHARACTERS = 4096
"""The length of a line; TOML readers take quadratic time on some long lines."""
LOCKED_FILE_BYTES = (1 << 62) - 1
"""The size of a locked file, within TOML's 64-bit integers."""

# ELF files.

ELF_TABLE_BYTES = 256 << 20
"""The size of one table, such as the dynamic string table."""
ELF_STRING_BYTES = 1 << 16
"""The length of one string; published run paths have several KiB."""
ELF_VERSION_RECORDS = 1 << 14
"""The number of symbol version records in one file."""

# OCI documents.

OCI_DOCUMENT_BYTES = 32 << 20
"""The size of an index, manifest or configuration."""
REFERRER_BYTES = 1 << 20
"""The size of a referrer's manifest (hundreds of layers) or of a listing (thousands of them)."""
LAYOUT_REFERRERS = 1000
"""The number of entries in a layout's index.json that are examined as referrers."""
INPUTS_ARTIFACTS = 8
"""The number of inputs artifacts that are passed over in search of bundles; one is usual."""

# Git repositories.

GIT_OBJECT_BYTES = 64 << 20
"""The size of one object that is read: a commit, a tree or the target of a link."""
GIT_TREE_ENTRIES = 1 << 17
"""The number of entries below a target's folder in a commit."""
GIT_REFERENCES_BYTES = 16 << 20
"""The size of a file with references; packed-refs is the largest."""

# HTTP and registries.

RETRY_AFTER_SECONDS = 60
"""The longest pause that a server may request before the next attempt."""
REGISTRY_CHALLENGE_CHARACTERS = 4096
"""The length of a WWW-Authenticate header."""
REGISTRY_TOKEN_BYTES = 1 << 16
"""The size of a token service's answer."""
REGISTRY_MANIFEST_BYTES = 4 << 20
"""The size of a manifest, as registries must accept it ("Pushing Manifests")."""
REGISTRY_NAME_CHARACTERS = 255
"""The length of a repository's name."""

# Folders.

FOLDER_FILES = 1 << 20
"""The number of files in a folder that is listed, such as an exported PEX."""

# Packages.

PACKAGE_CHILDREN = 64
"""The number of a package's images and artifacts."""
IMAGE_LAYERS = 127
"""The number of an image's layers, as overlay filesystems limit it."""
IMAGE_ENTRIES = 1 << 17
"""The number of leaves and folders in an image's layers."""
LAYER_INFLATION = 8
"""How many times its size a layer may inflate to, beyond LAYER_INFLATED_BYTES."""
LAYER_INFLATED_BYTES = 1 << 30
"""The size that any layer may inflate to."""
SPEC_DOCUMENT_BYTES = 256 << 10
"""The size of the spec in an image."""
PACKAGED_LOCK_BYTES = 4 << 20
"""The size of a lock in a package."""
PACKAGED_DOCUMENT_BYTES = 4 << 20
"""The size of another document in a package."""
STEP_FILES_BYTES = 64 << 20
"""The size of the list of files that steps read."""
PEX_BOOTSTRAP_BYTES = 64 << 20
"""The size of the bootstrap of a PEX."""
PEX_MAIN_BYTES = 1 << 20
"""The size of the ``__main__.py`` of a PEX."""

# Signed evidence.

BUNDLE_BYTES = 16 << 20
"""The size of a bundle; a provenance takes about 200 bytes for each file of a package."""
BUNDLES = 256
"""The number of bundles attached to one package."""
BUNDLES_BYTES = 64 << 20
"""The size of all bundles attached to one package."""
BUNDLE_VALUES = 1 << 12
"""The number of JSON values in a bundle, which has some dozens; the payload is one."""
STATEMENT_SUBJECTS = 1024
"""The number of subjects in a statement."""
STATEMENT_DIGESTS = 16
"""The number of digests of one subject."""
