"""The vocabulary every other room shares; imports nothing of ours."""
