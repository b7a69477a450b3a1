"""OCI documents: images, indexes, referrers, ModelPack artifacts, annotations."""
