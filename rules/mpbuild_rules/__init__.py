"""mpbuild's own rules: what must run to make a package."""
