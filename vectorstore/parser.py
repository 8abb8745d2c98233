"""Parse expressions: text to the typed syntax tree; every error is one line that points at its column."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken, v_args

from vectorstore.coefficient import Coefficient
from vectorstore.errors import ExpressionError, InvalidInputError
from vectorstore.expression import Expression, Program, Scaled, Step, Sum, Vector, negated
from vectorstore.functions import LayerRange, Number, Value, call, fail, require_vector
from vectorstore.reference import Reference, parse_reference

MAX_TEXT = 20_000
MAX_NESTING = 100
_TROUBLES = {
    "-": ("a minus between two vectors has a space on each side", "write a - b, since a-b is a name"),
    "/": ("there is no division", "write 0.5*love"),
    "(": ("expected an operator before '('", "write 2*(a + b)"),
    ")": ("this ')' closes nothing", "remove it"),
}
_WORD = re.compile(r"[^\s()*+,]+|.", re.DOTALL)


def parse(text: str) -> Expression:
    """Return the tree of an expression: a Vector, or a Program of steps.

    Raises:
        ExpressionError: for anything that does not parse, or whose types do not fit; names the column.
    """
    try:
        _check_size(text)
        tree: Expression = _grammar().parse(text)  # type: ignore[assignment]
    except (UnexpectedCharacters, UnexpectedToken) as error:
        raise _syntax_error(text, error) from None
    except ExpressionError as error:
        raise ExpressionError(error.problem, error.hint, column=error.column, text=text) from None
    return tree


class _Builder(Transformer[Token, Expression]):
    """Build nodes while the text is parsed, so that depth costs no recursion; errors get the text in `parse`."""

    def start(self, children: list[Expression | Step | Token]) -> Expression:
        first, *rest = [child for child in children if not isinstance(child, Token)]
        if not rest and isinstance(first, Vector):
            return first
        return Program((first, *rest), first.column)  # type: ignore[arg-type]

    @v_args(inline=True)
    def term(self, value: Value) -> Vector | Step:
        return value if isinstance(value, Step) else require_vector(value, "steering")

    def sum(self, children: list[Value | Token]) -> Vector:
        terms = [require_vector(child, "a sum") for child in children if not isinstance(child, Token)]
        signs = [child.type for child in children if isinstance(child, Token)]
        signed = (negated(term) if sign == "MINUS" else term for sign, term in zip(signs, terms[1:], strict=True))
        return Sum((terms[0], *signed), terms[0].column)

    def product(self, children: list[Value]) -> Vector | Number:
        number = Number.product([child for child in children if isinstance(child, Number)])
        vectors = [require_vector(child, "a product") for child in children if not isinstance(child, Number)]
        if len(vectors) > 1:
            raise fail("two vectors cannot be multiplied", "multiply a vector by numbers: 2*love", vectors[1].column)
        return number if not vectors else _scaled(number, vectors[0], min(number.column, vectors[0].column))

    @v_args(inline=True)
    def opposite(self, value: Value) -> Vector | Number:
        if isinstance(value, Number):
            return Number(value.coefficient * -1, value.column)
        return negated(require_vector(value, "a minus"))

    @v_args(inline=True)
    def number(self, token: Token) -> Number:
        try:
            return Number(Coefficient.parse(str(token)), _column(token))
        except InvalidInputError as error:
            raise fail(error.problem, error.hint, _column(token)) from None

    @v_args(inline=True)
    def layers(self, token: Token) -> LayerRange:
        first, last = str(token).split("..")
        return LayerRange.read(first, last, _column(token))

    @v_args(inline=True)
    def reference(self, token: Token) -> Reference:
        return parse_reference(str(token), column=_column(token), whole="")

    @v_args(inline=True)
    def call(self, function: Token, *arguments: Value) -> Vector | Step:
        return call(str(function), arguments, _column(function))


@cache
def _grammar() -> Lark:
    text = files("vectorstore").joinpath("grammar.lark").read_text()
    return Lark(text, parser="lalr", transformer=_Builder())


def _column(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _scaled(number: Number, vector: Vector, column: int) -> Scaled:
    if number.coefficient.unit == "r":
        if not isinstance(vector, Reference):
            raise fail("the unit r stands on a name only", "write 0.15r*love for each name", number.column)
        if vector.preset:
            raise fail(f"'{vector}' has the coefficient of its preset", f"write 0.15r*{vector.name}", vector.column)
    return Scaled(number.coefficient, vector, column)


def _check_size(text: str) -> None:
    if not text.strip():
        raise fail("the expression is empty", "write a name, such as love, or 2*love", 1)
    if len(text) > MAX_TEXT:
        raise fail(f"the expression has more than {MAX_TEXT} characters", "save parts of it as recipes", MAX_TEXT + 1)
    depth = 0
    for column, character in enumerate(text, 1):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth > MAX_NESTING:
            raise fail(f"parentheses are nested more than {MAX_NESTING} deep", "save parts of it as recipes", column)


def _syntax_error(text: str, error: UnexpectedCharacters | UnexpectedToken) -> ExpressionError:
    """Say in people's words what the parser expected; it stands before a vector or after one."""
    if isinstance(error, UnexpectedCharacters):
        expected, position = set(error.allowed or ()), error.pos_in_stream or 0
    else:
        expected = set(error.accepts or error.expected)
        position = len(text.rstrip()) if error.token.type == "$END" else error.token.start_pos or 0
    problem, hint = _trouble(text, position, before_vector="REFERENCE" in expected, closable="RPAR" in expected)
    return ExpressionError(problem, hint, column=position + 1, text=text)


def _trouble(text: str, position: int, *, before_vector: bool, closable: bool) -> tuple[str, str]:
    word = _WORD.match(text, position)
    found = f"'{word[0][:40]}'" if word else "the end"
    if before_vector:
        return f"expected a name, a number or '(', not {found}", "names start with a letter; write 2*love + happy"
    if closable and not word:
        return "a '(' is not closed", "write ')' at the end"
    if text[:position].rstrip().endswith("-"):
        return _TROUBLES["-"]
    if closable and found == "'then'":
        return "'then' cannot stand inside parentheses", "save the steps as a recipe, and name it there"
    more = "')'" if closable else "'then'"
    return _TROUBLES.get(text[position : position + 1], (f"expected + - * or {more}, not {found}", "write a + 2*b"))
