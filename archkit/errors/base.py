"""The base of every error, and what stops everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object) -> type:
        return lambda cls: cls


@dataclass_transform(eq_default=False)
class ArchkitError(Exception):
    """The base of every error of archkit.

    The annotated names of a subclass are its fields, in order, those of its base first; a value beside the name is
    the default. They are read once per class here and not by attrs, which writes methods for each class: twenty
    classes of that are half of what importing archkit may cost.
    """

    hint: ClassVar[str] = ""
    _fields: ClassVar[tuple[str, ...]] = ()

    if not TYPE_CHECKING:  # checkers see one constructor per class, made of its fields

        def __init_subclass__(cls) -> None:
            cls._fields = tuple(dict.fromkeys((*cls._fields, *cls.__annotations__)))

        def __init__(self, *values: object, **named: object) -> None:
            fields, name = self._fields, type(self).__name__
            if len(values) > len(fields):
                raise TypeError(f"{name} takes at most {len(fields)} values ({', '.join(fields)}), {len(values)} were given")
            given = dict(zip(fields, values, strict=False))
            for field, value in named.items():
                if field not in fields or field in given:
                    raise TypeError(f"{name} got {'two values for' if field in given else 'an unknown field'} {field!r}")
                given[field] = value
            for field in fields:
                if field not in given and not hasattr(type(self), field):
                    raise TypeError(f"{name} misses {field!r}")
                setattr(self, field, given[field] if field in given else getattr(type(self), field))
            # not super(): OSError would make an error number of the first of two
            BaseException.__init__(self, *(getattr(self, field) for field in fields))

    def problem(self) -> str:
        """What failed, in one sentence that names the input."""
        return type(self).__name__

    def advice(self) -> str:
        """What to do next; an empty text when the problem says it all."""
        return self.hint

    def __str__(self) -> str:
        advice = self.advice()
        return f"{self.problem()}; {advice}" if advice else self.problem()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{field}={getattr(self, field)!r}' for field in self._fields)})"


class CancelledError(ArchkitError, RuntimeError):
    """The caller cancelled; what was written before stays complete."""

    work: str

    def problem(self) -> str:
        return f"cancelled: {self.work}"
