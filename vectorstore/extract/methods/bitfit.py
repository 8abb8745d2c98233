"""BitFit: train nothing but biases, at the outputs of modules; where a model has none there, new ones.

A bias at such an output is added to every token, so its change is a direction, and the direction is all there is to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Apply
from vectorstore.extract.params import Param
from vectorstore.extract.protocols import Directions, ModelMethod, Request
from vectorstore.extract.training import GREATEST_LR, PARAMS, SITES, check_range, frozen, training_of
from vectorstore.items import Item

LR = Param("lr", 0.015, "Step size of AdamW, in units of R / sqrt(d).")
EPOCHS = Param("epochs", 16, "How often to go through the targets.")
CLIP = 1.0
"""The greatest norm of the gradient, over all places."""


def run(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Item], request: Request
) -> Directions:
    """Return the biases `[d]` that were trained, all places together.

    Raises:
        InvalidInputError: for a setting out of range, or a target that cannot be read.
    """
    rate, epochs = request.use.params[LR.name], request.use.params[EPOCHS.name]
    check_range(LR, rate, most=GREATEST_LR, above=True)
    check_range(EPOCHS, epochs, least=1)
    with frozen(model):
        training = training_of(model, tokenizer, data, request)
        objective, biases = training.objective, [shift.requires_grad_() for shift in training.shifts]
        sizes = zip(biases, training.units, strict=True)
        optimiser = AdamW([{"params": [bias], "lr": rate * unit} for bias, unit in sizes], weight_decay=0)

        def update(indices: Sequence[int]) -> None:
            optimiser.zero_grad()
            for batch in objective.batches(indices):
                (objective.total(batch, biases) / objective.tokens(indices)).backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(biases, CLIP)
            optimiser.step()

        return training.run(update, epochs * training.round, training.round)


BITFIT = ModelMethod(
    name="bitfit",
    version="1",
    summary="Targets: the biases at module outputs, trained until the model writes such targets",
    source="Ben-Zaken et al., BitFit, arXiv 2106.10199, section 3; GLUEvaluator.py of the authors' code",
    apply=Apply("all"),
    data="targets",
    sites=SITES,
    own_params=(LR, EPOCHS, *PARAMS),
    gradients=True,
    one_sided=True,
    order_matters=True,
    run=run,
)
