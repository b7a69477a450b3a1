"""mpbuild: a TOML model spec becomes a content-addressed, reproducible package."""

__version__ = "0.1.0"
