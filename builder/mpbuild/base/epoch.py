"""The one moment that every made byte carries.

1980-01-01T00:00:00Z, the earliest a zip entry can hold, so that tar headers, zip entries,
image configurations and SOURCE_DATE_EPOCH all say the same.
"""

SECONDS = 315532800
RFC3339 = "1980-01-01T00:00:00Z"
