"""State of a chain as tables of integers: journal, overlays, back-fill, snapshots."""
