"""The truth about every task, in PostgreSQL."""
