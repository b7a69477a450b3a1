"""Lock rules: resolution inputs, drift, floors, skew, the Debian closure; pure."""
