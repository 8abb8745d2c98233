"""Nearest: similar, duplicate and opposite directions, by exact passes over a cache that is made of the blobs."""
