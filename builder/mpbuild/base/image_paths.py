"""Fixed paths in an image; they decide digests."""

VENV = "opt/venv"
INTERPRETER = f"{VENV}/bin/python"
MODEL = "opt/model"
SOURCES = f"{MODEL}/src"
WEIGHTS = f"{MODEL}/weights"
FILES = f"{MODEL}/files"
LOCKS = f"{MODEL}/locks"
SPEC = f"{MODEL}/spec.json"
RUNTIME = "opt/mpbuild"
ENTRY_POINT = f"{RUNTIME}/bin/mpbuild-run"
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib")

NONROOT = 65532
"""The user and group that an image runs as."""

# A later layer that mentions one of these folders must not change its mode.
FOLDER_MODES = {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777}


def site_packages(python: str) -> str:
    """The folder that wheels are installed in, for an interpreter such as ``"3.11"``."""
    return f"{VENV}/lib/python{python}/site-packages"


def module_folders(python: str) -> tuple[str, ...]:
    """The folders with modules: the standard library and site-packages."""
    return f"usr/lib/python{python}", site_packages(python)
