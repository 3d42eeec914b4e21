"""CustomBuilder: a build of the caller's own, as a command or as a Python function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs

from archkit.adapters.process import environment
from archkit.errors import BuildError, ReferenceSyntaxError
from archkit.model.build import BuilderAbilities, BuildRequest, BuiltImage, Delivered, EngineSink, LayoutSink, RegistrySink
from archkit.model.frozen import NO_TEXTS, FrozenMap, frozen_texts
from archkit.model.reference import Digest, ImageReference
from archkit.ports.builder import BuildContext, tell_lines

if TYPE_CHECKING:
    from archkit.model.platform_set import PlatformSet
    from archkit.ports.builder import Builder

Function = Callable[[BuildRequest, BuildContext], object]


def _command(value: object) -> tuple[str, ...] | Function | None:
    if value is None or callable(value):
        return value
    if isinstance(value, (str, bytes)):
        raise TypeError(f"a command is a list of program and arguments, not the text {value!r}; give a text for the shell as shell=")
    if not isinstance(value, Sequence):
        raise TypeError(f"CustomBuilder needs a function of (request, context) or a list, not {type(value).__name__}")
    words = tuple(cast(Sequence[object], value))
    if not words or not all(isinstance(word, str) for word in words):
        raise TypeError(f"a command is a list of texts, program first: {words!r}")
    return cast(tuple[str, ...], words)


@attrs.frozen
class CustomBuilder:
    """Builds with a command or a Python function of the caller's; archkit verifies what it pushed.

    A function gets the :class:`BuildRequest` and the :class:`BuildContext`, pushes ``request.reference``, and may
    return the digest that it pushed, as a ``Delivered``, a ``BuiltImage`` or a text (a digest, or a reference with one).

    A command runs in the artifact's folder with Skaffold's environment for custom builders: ``IMAGE`` (what it must
    push), ``IMAGE_REPO`` and ``IMAGE_TAG`` (its parts), ``PLATFORMS`` (a comma list), ``PUSH_IMAGE`` (``true``: push it;
    ``false``: leave it in the local engine), ``BUILD_CONTEXT`` (the folder) and ``SKIP_TEST``. They win over those of
    this process and over ``env``. ``TMPDIR`` is a folder that is removed after the build, unless ``env`` names another.

    Raises:
        TypeError: ``command`` is a text, or neither a list nor a function.
        ValueError: Not exactly one of ``command`` and ``shell`` is given.
    """

    command: tuple[str, ...] | Function | None = attrs.field(default=None, converter=_command)
    """A function, or a program with its arguments, which no shell looks at; a name with a slash counts from the artifact's
    folder."""
    shell: str | None = attrs.field(default=None, kw_only=True)
    """A text for ``sh -c`` instead."""
    env: FrozenMap[str, str] = attrs.field(default=NO_TEXTS, converter=frozen_texts, kw_only=True)
    """More environment for the command, over that of this process; a ``Secret`` among the values is shown nowhere."""
    timeout: float = attrs.field(default=3600.0, kw_only=True)
    """Seconds that a command may take; it is ended with everything that it started then. A function is not ended."""
    staged: bool = attrs.field(default=False, kw_only=True)
    """True: it gets ``TAG_archkit-staging`` to push, and archkit writes the final tag after it verified the image.
    False: it pushes the final name itself."""
    per_platform: bool = attrs.field(default=False, kw_only=True)
    """True: one call per platform; archkit stitches. False: one call for all platforms, which makes the index."""
    parallel: bool = attrs.field(default=False, kw_only=True)
    """Whether calls for several platforms may run at the same time."""
    skip_test: bool = attrs.field(default=False, kw_only=True)
    """``SKIP_TEST``: whether a command that tests what it built should leave that out."""

    def __attrs_post_init__(self) -> None:
        if (self.command is None) == (self.shell is None):
            raise ValueError("CustomBuilder takes either a command or shell=")

    @property
    def name(self) -> str:
        """``custom``, with the name of the function or program."""
        if self.command is None:
            return "custom sh"
        if isinstance(self.command, tuple):
            return f"custom {Path(self.command[0]).name}"
        called = getattr(self.command, "__name__", type(self.command).__name__)
        return "custom" if called == "<lambda>" else f"custom {called}"

    def abilities(self, context: BuildContext) -> BuilderAbilities:  # noqa: ARG002 - the same everywhere
        """Natively multi-platform unless ``per_platform``; what it really does is seen when it is read back."""
        is_function = callable(self.command)
        return BuilderAbilities(
            native_multi=not self.per_platform,
            sinks=frozenset({RegistrySink, LayoutSink} if is_function else {RegistrySink, EngineSink}),
            parallel=self.parallel,
            pushes_final_tag=not self.staged,
        )

    def build(self, request: BuildRequest, context: BuildContext) -> Delivered:
        """Call the function, or run the command.

        Raises:
            BuildError: A function returned something that is no digest.
            ToolNotFoundError, CommandError, CancelledError: As :meth:`archkit.ports.runner.Runner.run`.
        """
        if callable(self.command):
            return _delivered(self.command(request, context), request.artifact.image)
        platform = request.platform if len(request.platforms) == 1 else None
        done = context.runner.run(
            self.command if self.command is not None else ["sh", "-c", self.shell or ""],
            env=self._environment(request, context),
            cwd=request.artifact.context,
            timeout=self.timeout,
            cancel=context.cancelled,
            on_line=tell_lines(context, request.artifact.image, platform),
        )
        return Delivered(log=f"{done.output}{done.messages}")

    def why_not_delivered(self, asked: PlatformSet, found: PlatformSet, delivered: Delivered) -> str:  # noqa: ARG002 - of the port
        """Custom builds mostly miss a platform because they do not look at what they were asked for."""
        if callable(self.command):
            return "build for request.platforms, or give CustomBuilder(per_platform=True) for a call per platform"
        return "let it build for $PLATFORMS, or give CustomBuilder(per_platform=True) for a call per platform"

    def _environment(self, request: BuildRequest, context: BuildContext) -> dict[str, str]:
        reference = request.reference or request.repository
        temporary = context.workdir / "tmp"
        temporary.mkdir(exist_ok=True)
        return environment(
            {
                "TMPDIR": str(temporary),
                **self.env,
                "IMAGE": str(reference),
                "IMAGE_REPO": str(request.repository),
                "IMAGE_TAG": reference.tag or "",
                "PLATFORMS": str(request.platforms),
                "PUSH_IMAGE": "false" if isinstance(request.sink, EngineSink) else "true",
                "BUILD_CONTEXT": str(request.artifact.context.absolute()),
                "SKIP_TEST": "true" if self.skip_test else "false",
            }
        )


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
