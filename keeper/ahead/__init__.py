"""Looking ahead: oracle updates that wait in the mempool, and what they will make due."""
