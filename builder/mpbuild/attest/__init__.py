"""From the record of a build to in-toto statements; pure."""
