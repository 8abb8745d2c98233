"""Hooks: record activations, and steer a model by a plan. Whatever touches a model puts it back exactly."""

from vectorstore.hooks.steer import steer

__all__ = ["steer"]
