"""Record what a run consumes, and run it again: the same graph fed from a file comes to the same plans."""
