"""A node's edge: JSON-RPC, the gap-free feed of blocks, fees, simulation and relays."""
