"""The dossier: the documents in which a package describes itself."""
