"""The most profitable legal liquidation: pure."""
