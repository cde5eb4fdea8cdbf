"""How much of a profit to offer for a place in the block."""
