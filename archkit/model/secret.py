"""Passwords and tokens that cannot be printed by mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

_MASK = "***"


class Secret(str):
    """A text that shows itself as ``***``: in ``str()``, ``repr()``, format strings, logs and tracebacks.

    It is a ``str``, so that it can stand in a header; slices and sums of it are ordinary texts again. Equality is that
    of the text.

    >>> f"password {Secret('hunter2')}"
    'password ***'
    >>> Secret("hunter2").reveal()
    'hunter2'
    """

    __slots__ = ()

    def __new__(cls, text: str = "") -> Self:
        return super().__new__(cls, text.reveal() if isinstance(text, Secret) else text)

    def reveal(self) -> str:
        """The text itself."""
        return super().__str__()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> SecretBytes:
        """The text as bytes that do not show themselves either."""
        return SecretBytes(super().encode(encoding, errors))

    def __str__(self) -> str:
        return _MASK if self else ""

    def __repr__(self) -> str:
        return repr(str(self))

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


class SecretBytes(bytes):
    """Bytes that show themselves as ``***``."""

    __slots__ = ()

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"b{_MASK!r}" if self else "b''"
