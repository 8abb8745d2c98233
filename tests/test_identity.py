"""How well one model fits another."""

import pytest

from tests.builders import make_identity
from vectorstore.errors import MisfitError

OTHER_VOCABULARY = f"sha256:{'b' * 64}"


def test_equal_weights_are_the_same_model_whatever_they_are_called():
    assert make_identity().fit(make_identity(reference="elsewhere", dtype="bfloat16")) == "same"


def test_other_weights_of_the_same_make_are_compatible():
    assert make_identity(seed=0).fit(make_identity(seed=1)) == "compatible"


@pytest.mark.parametrize(
    "change",
    [{"architecture": "GPT2LMHeadModel"}, {"width": 16}, {"layer_count": 9}, {"tokenizer_digest": OTHER_VOCABULARY}],
    ids=str,
)
def test_another_make_is_a_mismatch(change):
    assert make_identity(seed=0).fit(make_identity(seed=1, **change)) == "mismatch"


@pytest.mark.parametrize("unknown_on", ["left", "right", "both"])
def test_an_unknown_vocabulary_counts_as_equal(unknown_on):
    known, unknown = make_identity(seed=0), make_identity(seed=0, tokenizer_digest="")
    left = known if unknown_on == "right" else unknown
    other = OTHER_VOCABULARY if unknown_on == "left" else ""
    assert left.fit(make_identity(seed=1, tokenizer_digest=other)) == "compatible"


def test_an_unknown_vocabulary_does_not_hide_another_make():
    assert make_identity(tokenizer_digest="").fit(make_identity(seed=1, layer_count=9)) == "mismatch"


def test_force_lets_other_weights_pass_but_never_another_width():
    model = make_identity(seed=0)
    other = make_identity(seed=1, tokenizer_digest=OTHER_VOCABULARY)
    with pytest.raises(MisfitError, match="--force"):
        model.require_fit(other, "weddings")
    assert model.require_fit(other, "weddings", force=True) == "mismatch"
    with pytest.raises(MisfitError, match=r"weddings was computed on .* width 8.; this model is .* width 16"):
        model.require_fit(make_identity(seed=1, width=16), "weddings", force=True)


def test_the_same_weights_with_another_vocabulary_are_only_compatible():
    assert make_identity().fit(make_identity(tokenizer_digest=f"sha256:{'b' * 64}")) == "compatible"
    assert make_identity().fit(make_identity(tokenizer_digest="")) == "same"
