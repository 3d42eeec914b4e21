"""Node selectors as the scheduler reads them.

Source: Kubernetes API reference, NodeSelectorRequirement, and ``component-helpers/scheduling/corev1/nodeaffinity``:
expressions inside a term are ANDed, terms ORed, an empty term matches nothing, and ``NotIn`` matches a node that does
not have the label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

_INTEGER = re.compile(r"[+-]?[0-9]+")
_MOST_DIGITS = 19
VALUE_OPERATORS = frozenset({"In", "NotIn"})
BARE_OPERATORS = frozenset({"Exists", "DoesNotExist"})
NUMBER_OPERATORS = frozenset({"Gt", "Lt"})


@attrs.frozen
class Expression:
    """One requirement on a label, or on a field of the node."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def allows(self, value: str | None) -> bool:
        """Whether a node with this value (None: without the label) meets it."""
        if self.operator == "In":
            return value in self.values
        if self.operator == "NotIn":
            return value not in self.values
        if self.operator == "Exists":
            return value is not None
        if self.operator == "DoesNotExist":
            return value is None
        number, bound = _number(value or ""), _number(self.values[0])
        if number is None or bound is None:
            return False
        return number > bound if self.operator == "Gt" else number < bound

    def data(self) -> dict[str, object]:
        """As the API writes it."""
        fields: dict[str, object] = {"key": self.key, "operator": self.operator}
        return {**fields, "values": list(self.values)} if self.values else fields

    def __str__(self) -> str:
        return " ".join(filter(None, (self.key, self.operator, f"[{', '.join(self.values)}]" if self.values else "")))


@attrs.frozen
class Term:
    """One node selector term."""

    expressions: tuple[Expression, ...] = ()
    fields: tuple[Expression, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it says nothing; such a term matches no node."""
        return not (self.expressions or self.fields)

    def on(self, key: str) -> tuple[Expression, ...]:
        """The expressions on one label."""
        return tuple(expression for expression in self.expressions if expression.key == key)


class MalformedSelectorError(ValueError):
    """A selector that the API server rejects; the text says why."""


def parse_terms(terms: object) -> tuple[Term, ...]:
    """The terms of a ``nodeSelectorTerms`` list, by position.

    Raises:
        MalformedSelectorError: The API server would reject it.
    """
    return tuple(map(parse_term, _listed(terms, "nodeSelectorTerms")))


def parse_term(term: object) -> Term:
    """One term; null is an empty one.

    Raises:
        MalformedSelectorError: The API server would reject it.
    """
    if term is None:
        return Term()
    if not isinstance(term, Mapping):
        raise MalformedSelectorError("a node selector term is no mapping")
    return Term(
        tuple(map(_expression, _listed(term.get("matchExpressions"), "matchExpressions"))),
        tuple(map(_expression, _listed(term.get("matchFields"), "matchFields"))),
    )


def _listed(value: object, what: str) -> Sequence[object]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise MalformedSelectorError(f"{what} is no list")
    return value


def _expression(value: object) -> Expression:
    if not isinstance(value, Mapping):
        raise MalformedSelectorError("an expression is no mapping")
    key, operator = value.get("key"), value.get("operator")
    if not isinstance(key, str) or not isinstance(operator, str):
        raise MalformedSelectorError("an expression lacks its key or its operator")
    values = _listed(value.get("values"), "values")
    texts = tuple(item for item in values if isinstance(item, str))
    if len(texts) != len(values):
        raise MalformedSelectorError(f"{key} {operator}: values must be texts (put numbers in quotes)")
    if operator in VALUE_OPERATORS:
        if not texts:
            raise MalformedSelectorError(f"{key} {operator} needs values")
    elif operator in BARE_OPERATORS:
        if texts:
            raise MalformedSelectorError(f"{key} {operator} takes no values")
    elif operator in NUMBER_OPERATORS:
        if len(texts) != 1 or _number(texts[0]) is None:
            raise MalformedSelectorError(f"{key} {operator} needs exactly one whole number")
    else:
        raise MalformedSelectorError(f"{key}: there is no operator {operator!r}")
    return Expression(key, operator, texts)


def _number(text: str) -> int | None:
    """The whole number of 64 bits that this is, as Go's ``strconv.ParseInt`` reads it."""
    digits = text.lstrip("+-").lstrip("0")
    if not _INTEGER.fullmatch(text) or len(digits) > _MOST_DIGITS:
        return None
    number = int(digits or "0") * (-1 if text.startswith("-") else 1)
    return number if -(2**63) <= number < 2**63 else None


def allowed(expressions: Sequence[Expression], value: str | None) -> bool:
    """Whether a label's value meets all of these."""
    return all(expression.allows(value) for expression in expressions)


def finite_values(expressions: Sequence[Expression]) -> tuple[str, ...] | None:
    """The only values that meet all of these, in the order of the first list.

    None where they have no end, or where a node without the label meets them too (``DoesNotExist`` alone).
    """
    for expression in expressions:
        if expression.operator == "In":
            return tuple(value for value in dict.fromkeys(expression.values) if allowed(expressions, value))
    return None


def matches(term: Term, labels: Mapping[str, str], name: str) -> bool:
    """Whether a node meets a term."""
    if term.empty:
        return False
    return all(item.allows(labels.get(item.key)) for item in term.expressions) and all(
        item.allows(name if item.key == "metadata.name" else None) for item in term.fields
    )
