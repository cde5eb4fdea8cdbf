"""What an operator sees: log lines, metrics, health, the terminal view."""
