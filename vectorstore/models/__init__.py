"""Models: load a causal LM and its tokenizer, find its layers and sites, say which model it is; the demo model."""
