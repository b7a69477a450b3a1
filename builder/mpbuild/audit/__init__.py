"""The audit of locks: what their wheels say of themselves, against each other, spec and base."""
