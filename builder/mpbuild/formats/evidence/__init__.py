"""Evidence: build records, in-toto statements, DSSE envelopes, Sigstore bundles."""
