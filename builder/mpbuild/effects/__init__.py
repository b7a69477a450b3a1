"""All contact with the world, a file each."""
