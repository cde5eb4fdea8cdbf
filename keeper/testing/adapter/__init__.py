"""The conformance suite for adapters: what a market must keep to be trusted with money, checked on a running deployment."""
