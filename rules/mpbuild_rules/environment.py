"""The environment variables of everything that runs in a sandbox."""

from mpbuild.base import epoch
from mpbuild.derive import image_paths

# The clock, the locale, the hash seed, and what makes numeric libraries choose other code paths
# on other processors.
ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - the sandbox's own
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": f"/{image_paths.VENV}/bin:/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "SOURCE_DATE_EPOCH": str(epoch.SECONDS),
    "TZ": "UTC",
}
