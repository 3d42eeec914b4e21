"""CustomBuilder: a build of the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from archkit.errors import BuildError, ReferenceSyntaxError
from archkit.model.build import BuilderAbilities, BuildRequest, BuiltImage, Delivered, LayoutSink, RegistrySink
from archkit.model.reference import Digest, ImageReference
from archkit.ports.builder import BuildContext

if TYPE_CHECKING:
    from archkit.ports.builder import Builder


def _callable(value: object) -> Callable[[BuildRequest, BuildContext], object]:
    if not callable(value):
        raise TypeError(f"CustomBuilder needs a function of (request, context), not {type(value).__name__}")
    return value


@attrs.frozen
class CustomBuilder:
    """Calls a Python function that builds and pushes; archkit verifies what it pushed.

    The function gets the :class:`BuildRequest` and the :class:`BuildContext`, pushes ``request.reference``, and may
    return the digest that it pushed, as a ``Delivered``, a ``BuiltImage`` or a text (a digest, or a reference with one).
    """

    command: Callable[[BuildRequest, BuildContext], object] = attrs.field(converter=_callable)
    staged: bool = attrs.field(default=False, kw_only=True)
    """True: the function pushes ``TAG_archkit-staging`` and archkit writes the final tag after it verified the image.
    False: it pushes the final name itself."""
    per_platform: bool = attrs.field(default=False, kw_only=True)
    """True: one call per platform; archkit stitches. False: one call for all platforms, which makes the index."""

    @property
    def name(self) -> str:
        """``custom``, with the function's name."""
        called = getattr(self.command, "__name__", type(self.command).__name__)
        return "custom" if called == "<lambda>" else f"custom {called}"

    def abilities(self, context: BuildContext) -> BuilderAbilities:  # noqa: ARG002 - the same everywhere
        """Natively multi-platform unless ``per_platform``; what the function really does is seen when it is read back."""
        return BuilderAbilities(
            native_multi=not self.per_platform,
            sinks=frozenset({RegistrySink, LayoutSink}),
            pushes_final_tag=not self.staged,
        )

    def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
        """Call the function.

        Raises:
            BuildError: It returned something that is no digest.
        """
        return _delivered(self.command(request, context), request.artifact.image)


def _delivered(returned: object, image: str) -> Delivered:
    if isinstance(returned, Delivered):
        return returned
    if isinstance(returned, BuiltImage):
        return Delivered(returned.digest, returned.platforms)
    if returned is None:
        return Delivered()
    if isinstance(returned, str):
        try:
            return Delivered(Digest(returned) if "@" not in returned else ImageReference.parse(returned).digest)
        except ReferenceSyntaxError as error:
            raise BuildError(image, f"the function returned {returned!r}, which is no digest and no reference with one") from error
    reason = f"the function returned a {type(returned).__name__}; a Delivered, a BuiltImage, a digest or None was expected"
    raise BuildError(image, reason)


if TYPE_CHECKING:
    _conforms: type[Builder] = CustomBuilder
