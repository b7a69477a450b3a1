"""Archives and compressed streams: ar, tar, zip, gzip, xz."""
