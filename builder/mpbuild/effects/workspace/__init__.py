"""The workspace on disk: source files and the state of its repository."""
