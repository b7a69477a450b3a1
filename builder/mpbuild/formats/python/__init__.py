"""Python packaging formats: wheels, source distributions, pylock.toml, PEX, bytecode."""
