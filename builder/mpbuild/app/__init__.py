"""One module a use case; the one place where the rooms meet."""
