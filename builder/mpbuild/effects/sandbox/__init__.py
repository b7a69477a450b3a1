"""Sandboxed processes: bubblewrap, seccomp, staging, executors of steps.

The variables, user, host name and file times of a step are in ``engine/step_environment.py``.
"""
