"""The command line: one noun per file; installed as vectorstore.cli."""
