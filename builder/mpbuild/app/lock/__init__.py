"""The lock command: resolves, checks and audits the locks of targets."""
