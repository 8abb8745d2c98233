"""Composition: expressions and recipes to plans, with the store at hand; numpy only.

pins          what the references of an expression mean: names to versions
combination   what a vector comes to, symbolically: an exact amount for each direction
origins       where the directions come from: versions, and functions of them
operand       a direction as functions take it
derive        the functions on vectors
label         what a function is called in a plan
scope         one text under evaluation: its vectors to combinations
steps         the functions that make steps
program       one text's steps, in order
composer      all of it together, with the store: to a plan
report        what a plan does at each place: norms against R, cosines, conflicts
blend         a plan as one vector to save
"""

from vectorstore.compose.blend import parents, to_vector
from vectorstore.compose.composer import compose
from vectorstore.compose.pins import pin
from vectorstore.compose.report import report

__all__ = ["compose", "parents", "pin", "report", "to_vector"]
