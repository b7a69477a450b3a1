"""The fixed time of all derived bytes: 1980-01-01T00:00:00Z.

It is the earliest time that a zip entry can hold, so tar headers, zip entries, image configurations
and SOURCE_DATE_EPOCH can agree.
"""

SECONDS = 315532800
RFC3339 = "1980-01-01T00:00:00Z"
