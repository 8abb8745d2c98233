"""What the names of tensors say about layers and sites."""

from __future__ import annotations

import pytest

from vectorstore.errors import InvalidInputError
from vectorstore.formats.keys import key_layer, key_site


@pytest.mark.parametrize(
    ("key", "layer"),
    [
        *[(key, 6) for key in ("6", "layer.6", "layer_6", "layer6", "layers.6", "layer-6", "vec_layer_6", "block.6")],
        *[(key, 6) for key in ("model.layers.6", "transformer.h.6", "direction.6", "model.layers.6.mlp.direction")],
        *[(key, 6) for key in ("resid_pre.6", "attn_out_6", "blocks.6.hook_resid_pre", "layers/6")],
        ("-5", -5),
        ("0", 0),
        ("layer.12.layer.12", 12),
        *[(key, None) for key in ("", "direction", "love", "pca.0", "layer", "v2", "layer.6.layer.7", "player.6")],
        *[(key, None) for key in ("layer.6x", "layer.1234567", "6.7", "٣", "layer.٣", "1e3", "--6", "head.3")],
    ],
)
def test_a_layer_is_a_bare_number_or_one_after_a_word_for_layers(key: str, layer: int | None):
    assert key_layer(key) == layer


@pytest.mark.parametrize(
    ("key", "site"),
    [
        ("resid_pre.6", "resid_pre"),
        ("blocks.6.hook_resid_post", "resid_post"),
        ("6_attn_out", "attn_out"),
        ("love.mlp_out.3", "mlp_out"),
        ("layer.6", None),
        ("my_resid_presumed.6", None),
        ("", None),
    ],
)
def test_a_site_is_one_of_ours_or_transformer_lens_hook_of_it(key: str, site: str | None):
    assert key_site(key) == site


@pytest.mark.parametrize("key", ["blocks.6.hook_resid_mid", "blocks.6.attn.hook_z"])
def test_another_hook_is_refused(key: str):
    with pytest.raises(InvalidInputError, match="which is no site here"):
        key_site(key)
