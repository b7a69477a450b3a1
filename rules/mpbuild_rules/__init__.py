"""mpbuild's own rules: the actions that run to make a package."""
