"""Symbolic sizes: integer polynomials over size names, in one canonical form.

`Size` values are compared with `==`: equal polynomials are equal objects, whatever way they were written
(`2*H + H` is `3*H`). Division is whole-number division and stays an opaque atom unless it divides evenly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Symbol:
    """A size that is not known before run time."""

    name: str
    origin: str = ""
    """"" for a size of the signature at hand; else where it comes from, e.g. `detect, line 19`."""

    def __str__(self) -> str:
        return f"{self.name} of {self.origin}" if self.origin else self.name


@dataclass(frozen=True, slots=True)
class Quotient:
    """Whole-number division of two sizes that does not divide evenly on paper."""

    numerator: Size
    denominator: Size

    def __str__(self) -> str:
        left, right = str(self.numerator), str(self.denominator)
        if len(self.numerator.terms) != 1:
            left = f"({left})"
        if not self.denominator.is_atom:
            right = f"({right})"
        return f"{left}/{right}"


Atom = Symbol | Quotient
Monomial = tuple[Atom, ...]


@dataclass(frozen=True)
class Size:
    """A polynomial: `terms` is sorted, holds no zero coefficient, and the empty one is 0."""

    terms: tuple[tuple[Monomial, int], ...]

    @staticmethod
    def of(value: int | str | Symbol) -> Size:
        """The size of a whole number, a name, or a symbol."""
        if isinstance(value, int):
            return Size((((), value),)) if value else Size(())
        atom = Symbol(value) if isinstance(value, str) else value
        return Size((((atom,), 1),))

    @cached_property
    def value(self) -> int | None:
        """The number, if this is one."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and not self.terms[0][0]:
            return self.terms[0][1]
        return None

    @property
    def is_atom(self) -> bool:
        """A plain number or a plain name."""
        return self.value is not None or self.symbol is not None

    @cached_property
    def symbol(self) -> Symbol | None:
        """The symbol, if this is nothing but one."""
        if len(self.terms) == 1:
            monomial, coefficient = self.terms[0]
            if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Symbol):
                return monomial[0]
        return None

    @cached_property
    def symbols(self) -> frozenset[Symbol]:
        """All symbols that occur."""
        found: set[Symbol] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if isinstance(atom, Symbol):
                    found.add(atom)
                else:
                    found |= atom.numerator.symbols | atom.denominator.symbols
        return frozenset(found)

    def __add__(self, other: Size) -> Size:
        return _collect([*self.terms, *other.terms])

    def __sub__(self, other: Size) -> Size:
        return _collect([*self.terms, *((m, -c) for m, c in other.terms)])

    def __mul__(self, other: Size) -> Size:
        return _collect([(tuple(sorted(m + n, key=str)), c * d) for m, c in self.terms for n, d in other.terms])

    def __floordiv__(self, other: Size) -> Size:
        d = other.value
        if d is not None and d != 0 and all(c % d == 0 for _, c in self.terms):
            return Size(tuple((m, c // d) for m, c in self.terms))
        if self == other:
            return Size.of(1)
        return Size((((Quotient(self, other),), 1),))

    def substitute(self, mapping: Mapping[Symbol, Size]) -> Size:
        """This size with symbols replaced."""
        if not (self.symbols & mapping.keys()):
            return self
        total = Size(())
        for monomial, coefficient in self.terms:
            product = Size.of(coefficient)
            for atom in monomial:
                if isinstance(atom, Symbol):
                    product = product * mapping.get(atom, Size.of(atom))
                else:
                    product = product * (atom.numerator.substitute(mapping) // atom.denominator.substitute(mapping))
            total = total + product
        return total

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The number for sizes given by symbol name. KeyError if one is missing."""
        total = 0
        for monomial, coefficient in self.terms:
            product = coefficient
            for atom in monomial:
                if isinstance(atom, Symbol):
                    product *= sizes[atom.name]
                else:
                    product *= atom.numerator.evaluate(sizes) // atom.denominator.evaluate(sizes)
            total += product
        return total

    def __str__(self) -> str:
        if not self.terms:
            return "0"
        text = ""
        for monomial, coefficient in sorted(self.terms, key=lambda t: (-len(t[0]), t[1] < 0, str(t[0]))):
            factors = [str(atom) for atom in monomial]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            sign = "-" if coefficient < 0 else "+" if text else ""
            text += sign + "*".join(factors)
        return text


def _collect(terms: list[tuple[Monomial, int]]) -> Size:
    total: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        total[monomial] = total.get(monomial, 0) + coefficient
    return Size(tuple(sorted(((m, c) for m, c in total.items() if c), key=lambda t: str(t[0]))))
