"""The ledger: its writer, its readers, and the audit's view of it."""
