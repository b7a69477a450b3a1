"""The content-addressed store: blobs, results, unpacked layers, maintenance."""
