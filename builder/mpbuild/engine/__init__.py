"""Actions, keys, the graph and the scheduler; executors, store and clock are arguments."""
