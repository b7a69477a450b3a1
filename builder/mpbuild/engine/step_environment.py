"""The environment of a step: variables, locale, file times, user and host name.

They are the same on every machine. A rule puts ``VARIABLES`` into its action, so they are part of
the action key; the sandbox sets the user, the host name, the limits and the times of files.
"""

from collections.abc import Iterable, Mapping

from mpbuild.base import epoch, image_paths

VARIABLES: Mapping[str, str] = {
    "HOME": "/tmp",  # noqa: S108 - the sandbox's own
    "LC_ALL": "C.UTF-8",
    # Numeric libraries choose other code paths by processor and by number of threads.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": f"/{image_paths.VENV}/bin:/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": str(epoch.SECONDS),
    "TZ": "UTC",
}
"""The environment variables of every step, locale and time zone included."""

USER_ID = GROUP_ID = 1000
HOST_NAME = "mpbuild"

FILE_TIME_NS = epoch.SECONDS * 10**9
"""The modification time of every input, in nanoseconds since the Unix epoch.

The clock itself runs: a step that reads it is not reproducible.
"""

UMASK = 0o022
OPEN_FILES = 1024
"""The soft and hard limit of open files (RLIMIT_NOFILE)."""


def host_variables(
    variables: Mapping[str, str], search_path: Iterable[str], site_packages: Iterable[str]
) -> dict[str, str]:
    """``variables`` of an action, adapted to a run on the host's own Python without a sandbox."""
    return {
        **variables,
        "PATH": ":".join(search_path),
        "PYTHONPATH": ":".join(site_packages),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
