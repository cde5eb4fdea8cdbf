"""What must survive: the outbox, every candidate's outcome and the append-only ledger, in one SQLite file per chain."""
