"""Transfer: versions with all that they need, to and from files and registries, byte for byte."""
