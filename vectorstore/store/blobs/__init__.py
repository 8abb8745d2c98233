"""Blobs: what the store asks of any place that keeps bytes, the local folder, and object stores."""
