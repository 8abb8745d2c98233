"""Extraction: methods that turn data into steering vectors.

A new method is one small file in `methods/`, and one line in the table of `methods/__init__.py`; another distribution
brings one by an entry point in the group `vectorstore.methods`. `docs/writing-methods.md` says how.

    params, method, protocols       what a method declares; the four kinds of method
    registry                        the methods by name
    prompts, positions, reading     texts to token ids; where activations are read; batches of them through the model
    moments                         mean and scatter of rows that are not kept
    probes                          logistic regressions on many sets of rows at once, one per attention head
    residual, finite                R, the residual norm that strengths are measured by; activations that are numbers
    run                             one pass of the model for all methods that read alike
    compute, other                  (model, data) to a vector and its card; the second model of those that compare
    recompute                       a version once more from its card, and whether it agrees
"""

from vectorstore.extract.compute import compute, compute_many
from vectorstore.extract.recompute import recompute

__all__ = ["compute", "compute_many", "recompute"]
