"""Sandboxed processes: bubblewrap, seccomp, staging, executors of steps.

The variables, user, host name and clock of a step are in ``engine/step_environment.py``.
"""
