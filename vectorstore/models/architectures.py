"""What structure cannot tell: a line here for each architecture whose layers or sites are not found by themselves.

A new architecture needs a line only when `decoder_layers` or `site_module` is wrong or raises for it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exceptions:
    """Dotted paths for one model type; None where structure finds the right module.

    Attributes:
        layers: the list of decoder layers, from the model.
        attention: the module whose output is the attention's, from a layer.
        mlp: the module whose output is the MLP's, from a layer.
        projection: the attention's output projection, from a layer.
    """

    layers: str | None = None
    attention: str | None = None
    mlp: str | None = None
    projection: str | None = None


# BERT and its kin norm, and add the residual, inside the module that follows each projection.
_BERT = Exceptions(attention="attention.output.dense", mlp="output.dense", projection="attention.output.dense")
_BERTS = (
    *("bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert"),
    *("rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod"),
)

EXCEPTIONS: dict[str, Exceptions] = {
    # These add the residual inside the attention and the MLP, so the modules' outputs are the residual stream already.
    "bloom": Exceptions(attention="self_attention.dense", mlp="mlp.dense_4h_to_h", projection="self_attention.dense"),
    "mpt": Exceptions(mlp="ffn.down_proj"),
    # The attention sits inside a module that also holds both norms and the residual.
    "dbrx": Exceptions(attention="norm_attn_norm.attn", projection="norm_attn_norm.attn.out_proj"),
    **dict.fromkeys(_BERTS, _BERT),
}
"""By the config's `model_type`."""

PROJECTIONS = ("o_proj", "out_proj", "c_proj", "dense", "wo", "proj", "to_out")
"""What the attention's output projection is called, the commonest first."""


def exceptions(model_type: str) -> Exceptions:
    """Return the line for `model_type`, or one that says nothing."""
    return EXCEPTIONS.get(model_type, Exceptions())
