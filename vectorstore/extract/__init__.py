"""Extraction: methods that turn contrast pairs into steering vectors.

A new method is one small file in `methods/`, and one line in the table of `methods/__init__.py`; another distribution
brings one by an entry point in the group `vectorstore.methods`.

    params, protocols, registry     what a method declares; the two kinds of method; the methods by name
    prompts, positions, reading     texts to token ids; where activations are read; batches of them through the model
    residual                        R, the residual norm that strengths are measured by
    compute                         (model, pairs) to a vector and its card
"""

from vectorstore.extract.compute import compute

__all__ = ["compute"]
