"""Data: small sets of contrast pairs, written by hand for this package and under its licence.

shipped   the sets by name, and files or sets wherever data are asked for
"""

from vectorstore.data.shipped import load, names, read

__all__ = ["load", "names", "read"]
