"""In-context vectors are what the paper and its authors' program compute, and turn activations as the paper says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from tests.blank import blank
from tests.extract import oracle
from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import Apply
from vectorstore.compose import compose
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.models.layers import decoder_layers
from vectorstore.place import Place
from vectorstore.store import Store
from vectorstore.texts import Demonstration

DATA = (
    Demonstration("a cat", "un chat"),
    Demonstration("the dog sleeps", "le chien dort"),
    Demonstration("the sun", "le soleil"),
    Demonstration("a good day", "une bonne journ"),
    Demonstration("He sings", "Il chante"),
)
LAYERS = (0, 1)  # `hidden_states` has what layers 0 and 1 put out; after layer 2 comes the last norm


def differences(model: PreTrainedModel, data: Sequence[Demonstration]) -> Tensor:
    """Return, for each demonstration, the last state of output less input, layer after layer `[n, layers * d]`."""

    def last(text: str) -> Tensor:
        return torch.cat([oracle.states(model, ids_of(text), layer + 1)[-1].double() for layer in LAYERS])

    return torch.stack([last(each.output) - last(each.input) for each in data])


def by_paper(rows: Tensor) -> Tensor:
    """The unit vector with the largest sum of squared products, as most rows point."""
    top = torch.linalg.svd(rows).Vh[0]
    return top * torch.sign(torch.sign(rows @ top).sum())


def by_code(rows: Tensor) -> Tensor:
    """`obtain_icv` with rank 1, and `utils/pca.py`, written again: PCA about the mean, its sign, plus the mean."""
    mean = rows.mean(0, keepdim=True)
    left, _, right = torch.linalg.svd(rows - mean, full_matrices=False)
    largest = left[:, 0].abs().argmax()
    component = right[:1] * torch.sign(left[largest, 0])
    return (component.sum(dim=0, keepdim=True) + mean).mean(0)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize(("variant", "expect"), [("paper", by_paper), ("code", by_code)])
def test_it_is_the_independent_implementation(architecture: str, variant: str, expect: object):
    model = tiny_model(architecture)
    vector, card = compute(
        model, tiny_tokenizer(), DATA, layer=LAYERS, method="in_context", params={"variant": variant}
    )
    rows = differences(model, DATA)
    whole = expect(rows)
    expected = whole.view(len(LAYERS), -1).numpy()
    for layer in LAYERS:
        place = Place("resid_post", layer)
        np.testing.assert_allclose(vector.directions[place], expected[layer], rtol=0, atol=2e-5)
        explained = ((rows @ whole) ** 2).sum() / (rows**2).sum() / (whole @ whole)
        assert card.figures[place]["explained"] == pytest.approx(float(explained), rel=1e-4)


def test_of_one_demonstration_both_variants_point_along_its_difference():
    model = tiny_model()
    row = differences(model, DATA[:1])[0].numpy()
    for variant, length in (("paper", 1), ("code", np.linalg.norm(row))):
        vector, card = compute(
            model, tiny_tokenizer(), DATA[:1], layer=LAYERS, method="in_context", params={"variant": variant}
        )
        whole = np.concatenate(list(vector.directions.values()))
        np.testing.assert_allclose(whole, row / np.linalg.norm(row) * length, rtol=0, atol=1e-5)
        assert all(figures["explained"] == pytest.approx(1) for figures in card.figures.values())


@contextmanager
def turned(model: PreTrainedModel, directions: dict[int, Tensor]) -> Iterator[None]:
    """Do what `ICVLayer` does, written again: h/|h| + v/|h|, made a unit vector, times |h|."""

    def hook(direction: Tensor):
        def turn(_block: nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> object:
            hidden = output[0] if isinstance(output, tuple) else output
            norm = hidden.norm(p=2, dim=-1, keepdim=True)
            new = functional.normalize(functional.normalize(hidden, dim=-1) + direction / norm, dim=-1) * norm
            return (new, *output[1:]) if isinstance(output, tuple) else new

        return turn

    with ExitStack() as stack:
        for layer, direction in directions.items():
            stack.callback(decoder_layers(model)[layer].register_forward_hook(hook(direction)).remove)
        yield


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize(("used", "strength"), [("french", 1), ("french:mild", 0.5), ("keepnorm(3*french)", 3)])
def test_what_the_card_says_turns_every_token_and_keeps_its_norm(
    architecture: str, used: str, strength: float, tmp_path: Path
):
    model, tokenizer = tiny_model(architecture), tiny_tokenizer()
    vector, card = compute(model, tokenizer, DATA, layer=[0, 1, 2], method="in_context")
    assert card.apply == Apply("all", "keepnorm")
    with Store.open(blank(tmp_path / "library.db"), blobs=str(tmp_path / "blobs")) as store:
        store.save("french", vector, card, presets={"mild": 0.5})
        plan = compose(store, used)
    ids = torch.tensor([ids_of("the moon")])
    pieces = {
        place.layer: strength * torch.from_numpy(np.array(each)).float() for place, each in vector.directions.items()
    }
    with torch.no_grad():
        with steer(model, plan):
            steered = model(ids).logits
        with turned(model, pieces):
            expected = model(ids).logits
        plain = model(ids).logits
    torch.testing.assert_close(steered, expected, rtol=0, atol=1e-5)
    assert (plain - expected).abs().max() > 1e-3
