"""mpbuild's own annotations on OCI descriptors and documents."""

KIND = "dev.mpbuild.kind"
ACCELERATOR = "dev.mpbuild.accelerator"
PARTIAL = "dev.mpbuild.partial"
LAYER = "dev.mpbuild.layer"
