"""Upkeep: collecting what nobody needs, checking, copying, and making a lost database again."""
