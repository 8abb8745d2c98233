"""Composition: expressions and recipes to plans, with the store at hand; numpy only.

combination   what an expression comes to, symbolically
pins          what its references mean: names to versions
composer      the two together, to a plan
report        what a plan does at each place: norms against R, cosines, conflicts
"""

from vectorstore.compose.composer import compose
from vectorstore.compose.pins import pin
from vectorstore.compose.report import report

__all__ = ["compose", "pin", "report"]
