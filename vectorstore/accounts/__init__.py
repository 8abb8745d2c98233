"""Accounts: who may do what in a library that teams share."""
