"""Where seized assets are sold: one package a kind of exchange."""
