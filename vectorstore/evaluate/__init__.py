"""Evaluate: what a plan does to a model, measured against controls."""
