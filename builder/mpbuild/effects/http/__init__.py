"""HTTP: a bounded, streaming client, downloads by digest, range requests."""
