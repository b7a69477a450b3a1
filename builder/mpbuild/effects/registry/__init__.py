"""OCI registries: the client, logins and the files that a registry serves."""
