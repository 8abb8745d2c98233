"""What vectors are computed from besides pairs: texts of two sides, labelled texts, targets, demonstrations."""

from __future__ import annotations

from dataclasses import dataclass

from vectorstore.errors import InvalidInputError
from vectorstore.items import Item

SIDES = ("positive", "negative")


@dataclass(frozen=True)
class Text(Item):
    """A text that has no counterpart: of what the vector shall mean, or of a corpus to compare with.

    Attributes:
        text: the text.
        side: `positive`, or `negative` for the corpus and whatever else to steer away from.
        prompt: what comes before it; in a chat, the user's turn that it answers.
    """

    text: str
    side: str = "positive"
    prompt: str = ""

    kind = "texts"
    noun = "text"
    texts = ("text",)

    def __post_init__(self) -> None:
        """Refuse another side, besides what no item may be."""
        super().__post_init__()
        if self.side not in SIDES:
            raise InvalidInputError(f"the side is '{self.side[:60]}'", "write positive or negative")

    def role(self, _name: str) -> str:
        """Return its side."""
        return self.side


@dataclass(frozen=True)
class Labelled(Item):
    """A text with a label: a class to tell from others, or the word to answer with.

    Attributes:
        text: the text.
        label: any word, such as `true`.
        prompt: what comes before it, a question say; texts with one prompt stay together when data are split.
    """

    text: str
    label: str
    prompt: str = ""

    kind = "labelled"
    noun = "labelled text"
    texts = ("text",)

    def role(self, _name: str) -> str:
        """Return its label."""
        return self.label


@dataclass(frozen=True)
class Target(Item):
    """A text that the model shall write.

    Attributes:
        target: the text.
        prompt: what it goes on from; nothing where it begins the document.
    """

    target: str
    prompt: str = ""

    kind = "targets"
    noun = "target"
    texts = ("target",)


@dataclass(frozen=True)
class Demonstration(Item):
    """An example of a task: what is given, and what the task makes of it. The two are read apart.

    Attributes:
        input: what is given, a sentence in English say.
        output: what it becomes, that sentence in French.
    """

    input: str
    output: str

    kind = "demonstrations"
    noun = "demonstration"
    texts = ("input", "output")
