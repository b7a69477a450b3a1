"""Evidence and joins to findings and a verdict; pure: bytes and time are arguments."""
