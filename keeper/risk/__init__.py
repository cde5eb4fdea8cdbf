"""Who may be liquidatable: pure."""
