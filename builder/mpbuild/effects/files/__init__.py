"""Files and folders: atomic writes, untrusted folders, OCI layouts, the user's state."""
