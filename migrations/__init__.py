"""The database's history; installed as vectorstore.migrations."""
