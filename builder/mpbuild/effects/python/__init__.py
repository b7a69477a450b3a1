"""Python packaging tools and indexes: uv, pip, pip-tools, project pages, interpreters."""
