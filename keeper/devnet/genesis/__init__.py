"""Builds the devnet's chain from its genesis. Everything here is part of the cached state's key."""
