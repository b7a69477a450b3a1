"""Sandboxed processes: bubblewrap, seccomp, staging, executors of steps."""
