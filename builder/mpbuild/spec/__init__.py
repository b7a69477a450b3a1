"""What people write, read strictly into frozen data."""
