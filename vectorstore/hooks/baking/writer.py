"""Writer: what adds to the residual stream, as parameters: embeddings, an attention, an MLP, a norm."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from vectorstore.hooks.baking.affine import Affine


@dataclass(frozen=True)
class Weight:
    """A parameter, by its dotted path, and which of its axes runs over the outputs."""

    path: str
    axis: int


@dataclass
class Writer:
    """One output, and what is to happen to it.

    Attributes:
        name: what people call it: `the MLP of layer 3`.
        weights: what a linear map of the output is written into.
        constant: the path of the parameter that takes what is added to the output, along its last axis, or None.
        flag: the field of the config that has to be true for `constant` to be there; empty where it is there.
        scale: what the output is multiplied by before it is added.
        fixed: why a linear map of the output cannot be written into `weights`; empty where it can.
        norm: whether a norm stands between the output and the residual stream.
        outer: what is done to the output.
        inner: what is done to the input of the one weight, at head_out.
        gain: what is added to `constant` in the end, `[width]`.
    """

    name: str
    weights: tuple[Weight, ...]
    constant: str | None
    outer: Affine
    flag: str = ""
    scale: float = 1.0
    fixed: str = ""
    norm: bool = False
    inner: Affine | None = None
    gain: Tensor | None = None

    @property
    def takes_constants(self) -> bool:
        """Whether the stream's own constants may go here."""
        return self.constant is not None and not self.norm

    def takes_out(self, unit: Tensor) -> bool:
        """Say whether nothing along `unit` ever comes from here."""
        return not self.fixed and not self.norm and self.outer.takes_out(unit)

    def added(self, model: nn.Module) -> Tensor:
        """Return what the steps at its own places add to its output, `[width]`, in float64."""
        if self.inner is None or not self.inner.shift.any():
            return self.outer.shift
        weight = self.weights[0]
        matrix = model.get_parameter(weight.path).detach().cpu().double().movedim(weight.axis, 0)  # (out, in)
        return self.outer.linear(matrix @ self.inner.shift) + self.outer.shift


@dataclass
class Segment:
    """Writers that are added together before anything reads the residual stream again.

    Attributes:
        writers: at least one.
        constant: what steps at the residual stream add, `[width]`.
        resets: whether the stream begins anew here: a norm that the stream goes through.
        reasons: the steps that add something, in words.
    """

    writers: tuple[Writer, ...]
    constant: Tensor
    resets: bool = False
    reasons: list[str] = field(default_factory=list)

    def along(self, unit: Tensor) -> float:
        """Return the part along `unit` of what the steps add, where the writers themselves have none."""
        return float(unit @ self.constant + sum(writer.scale * (unit @ writer.outer.shift) for writer in self.writers))
