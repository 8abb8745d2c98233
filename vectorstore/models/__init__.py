"""Models: load a causal LM and its tokenizer, find its layers and sites, say which model it is."""

from vectorstore.models.load import load_model

__all__ = ["load_model"]
