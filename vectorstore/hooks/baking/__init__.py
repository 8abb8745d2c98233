"""Bake: write a plan into a model's weights, so that plain transformers loads it and no hook is needed."""

from vectorstore.hooks.baking.bake import Baked, bake
from vectorstore.hooks.baking.folder import save_baked

__all__ = ["Baked", "bake", "save_baked"]
