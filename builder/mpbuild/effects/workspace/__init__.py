"""The workspace on disk: snapshots, documents, sources, and the state of its repository."""
