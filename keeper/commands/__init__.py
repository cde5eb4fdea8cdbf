"""What each command does, one module a command; `keeper.cli` says how it is called."""
