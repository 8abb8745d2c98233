"""Stream: the residual stream from the embeddings on, with each step of a plan handed to the writers that it falls to.

Between two places where a layer reads it, the stream is what was read before plus what a segment's writers add. So:

- A constant goes into any writer of the segment.
- Setting the part along u to a value means that each writer of the segment leaves out u, and that what was read before
  has a part along u that is the same for every token: because all writers before leave it out too. Otherwise the layer
  that read it would have had to see another stream, and the step cannot be folded exactly.

At attn_out and mlp_out a step is a map of one writer's output, at head_out of its input, whatever stands around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from vectorstore.errors import MisfitError
from vectorstore.hooks.baking.affine import Affine, Change, change_of
from vectorstore.hooks.baking.layout import Layout
from vectorstore.hooks.baking.writer import Segment, Writer
from vectorstore.models.layers import site_widths
from vectorstore.place import Place
from vectorstore.plan import Step

_NOTHING = 1e-9
"""A constant this much smaller than the plan's directions is rounding."""


def fold(layout: Layout, steps: Iterable[Step]) -> list[Segment]:
    """Return the segments of a model, with all that the steps do handed to their writers.

    Raises:
        InvalidInputError: for a step that weights cannot carry out in any model.
        MisfitError: for one that they cannot in this model; says why.
    """
    changes: dict[Place, list[Change]] = {}
    for step in steps:
        changes.setdefault(step.place, []).append(change_of(step))
    return _Stream(layout, changes).run()


class _Stream:
    def __init__(self, layout: Layout, changes: dict[Place, list[Change]]) -> None:
        self.layout, self.changes = layout, changes
        norms = [float(change.vector.norm()) for each in changes.values() for change in each]
        self.nothing = _NOTHING * max(norms, default=0.0)
        self.segments: list[Segment] = []

    def run(self) -> list[Segment]:
        flow = self.layout.flow
        self._begin(self.layout.embeddings, resets=True)
        for layer in range(len(self.layout.layers)):
            self._change_stream("resid_pre", layer)
            attention, mlp = self._attention(layer), self._mlp(layer)
            if flow.parallel:
                self._begin(attention, mlp)
            else:
                self._begin(attention)
                self._normed(layer, 0)
                self._begin(mlp)
                self._normed(layer, 1)
            self._change_stream("resid_post", layer)
        for segment in self.segments:
            self._settle(segment)
        return self.segments

    def _begin(self, *writers: Writer, resets: bool = False) -> None:
        constant = torch.zeros(self.layout.width, dtype=torch.float64)
        self.segments.append(Segment(writers, constant, resets))

    def _normed(self, layer: int, number: int) -> None:
        if self.layout.flow.stream_norms:
            self._begin(self.layout.stream_norm(layer, number), resets=True)

    def _attention(self, layer: int) -> Writer:
        writer = self.layout.attention(layer)
        if inner := self.changes.get(Place("head_out", layer)):
            writer.inner = Affine.identity(site_widths(self.layout.model)["head_out"])
            for change in inner:
                writer.inner = change.after(writer.inner)
        self._change_own(writer, Place("attn_out", layer))
        return writer

    def _mlp(self, layer: int) -> Writer:
        writer = self.layout.mlp(layer)
        self._change_own(writer, Place("mlp_out", layer))
        return writer

    def _change_own(self, writer: Writer, place: Place) -> None:
        for change in self.changes.get(place, ()):
            writer.outer = change.after(writer.outer)

    def _change_stream(self, site: str, layer: int) -> None:
        for change in self.changes.get(Place(site, layer), ()):
            segment = self.segments[-1]
            if change.unit is not None:
                self._set_part(segment, change, change.unit)
            else:
                segment.constant = segment.constant + change.vector
            segment.reasons.append(change.text)

    def _set_part(self, segment: Segment, change: Change, unit: torch.Tensor) -> None:
        before = 0.0
        for earlier in self._earlier():
            self._require_left_out(earlier, change, unit)
            before += earlier.along(unit)
        for writer in segment.writers:
            self._require_mappable(writer, change)
            if not writer.takes_out(unit):
                writer.outer = writer.outer.then_projected(unit)
        # What the segment itself adds along u goes too, so that the whole has the part that the step sets.
        along = segment.along(unit) + before
        segment.constant = segment.constant - along * unit + change.vector

    def _earlier(self) -> Iterator[Segment]:
        """Yield the segments whose sum was read before the last one, back to where the stream began anew."""
        if self.layout.flow.stream_resets and len(self.segments) > 1:
            yield from self.segments[:-1]
            return
        for number in range(len(self.segments) - 1, -1, -1):
            if number < len(self.segments) - 1:
                yield self.segments[number]
            if self.segments[number].resets:
                return

    def _require_left_out(self, segment: Segment, change: Change, unit: torch.Tensor) -> None:
        if self.layout.flow.stream_resets:
            raise self._refusal(change, self.layout.flow.stream_resets)
        for writer in segment.writers:
            self._require_mappable(writer, change)
            if not writer.takes_out(unit):
                why = f"layers before it have read what {writer.name} gives along its direction"
                raise self._refusal(change, why, _EVERYWHERE)

    def _require_mappable(self, writer: Writer, change: Change) -> None:
        if writer.norm:
            raise self._refusal(change, f"a norm stands between {writer.name} and the residual stream", _AT_OUTPUTS)
        if writer.fixed:
            raise self._refusal(change, f"{writer.name}: {writer.fixed}", _AT_OUTPUTS)

    def _settle(self, segment: Segment) -> None:
        """Hand constants to writers that can take them."""
        model, rest = self.layout.model, segment.constant
        takers = sorted((each for each in segment.writers if each.takes_constants), key=lambda each: bool(each.flag))
        for writer in segment.writers:
            added = writer.added(model)
            if not self._matters(added):
                continue
            if writer.constant is not None and (not writer.flag or writer.norm or takers[0] is writer):
                writer.gain = added
            elif takers and not writer.norm:
                rest = rest + writer.scale * added
            else:
                raise self._no_bias(f"what the plan adds to {writer.name}", writer.name)
        if self._matters(rest):
            if not takers:
                raise self._no_taker(segment)
            gain = rest / takers[0].scale
            takers[0].gain = gain if takers[0].gain is None else takers[0].gain + gain

    def _matters(self, constant: torch.Tensor) -> bool:
        return float(constant.norm()) > self.nothing

    def _no_taker(self, segment: Segment) -> MisfitError:
        if self.layout.flow.branch_norm:
            why = "a norm stands between its layers' outputs and the residual stream"
            return MisfitError(f"{segment.reasons[0]} cannot be baked: {why}", self._where())
        return self._no_bias(segment.reasons[0], segment.writers[-1].name)

    def _no_bias(self, what: str, name: str) -> MisfitError:
        why = f"{name} has no bias, and the config of {self.layout.name} has no field that gives it one"
        return MisfitError(f"{what} cannot be baked: {why}", self._where())

    def _where(self) -> str:
        return f"constants can be baked at {', '.join(self._takers()) or 'no place of it'}; otherwise steer with hooks"

    def _takers(self) -> Iterator[str]:
        if self.layout.embeddings.constant:
            yield "resid_pre.0"
        layer = len(self.layout.layers) - 1
        attention, mlp = self.layout.attention(layer), self.layout.mlp(layer)
        parallel = self.layout.flow.parallel and (attention.takes_constants or mlp.takes_constants)
        if attention.constant or parallel:
            yield from ("attn_out", "head_out")
        if mlp.constant or parallel:
            yield "mlp_out"
        if mlp.takes_constants or parallel:
            yield "resid_post"

    def _refusal(self, change: Change, why: str, hint: str = "steer with hooks instead") -> MisfitError:
        return MisfitError(f"{change.text} cannot be baked: {why}", hint)


_AT_OUTPUTS = "attn_out, head_out and mlp_out are what can be baked so; otherwise steer with hooks"
_EVERYWHERE = (
    "do the same at resid_pre of layer 0, and at attn_out and mlp_out of every layer before, too; or steer with hooks"
)
