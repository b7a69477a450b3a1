"""Pure, versioned functions from inputs and leaves to derived bytes."""
