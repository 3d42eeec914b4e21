"""Platform: parse, normalise, format, compare.

Spelling and normal forms are those of containerd's ``platforms`` package, the reference that Docker, BuildKit and
the kubelet share (github.com/containerd/platforms, ``database.go``, ``compare.go``, ``platforms.go``).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import attrs

from archkit.errors import PlatformSyntaxError
from archkit.model.platform_compat import UNMATCHED_FEATURE, runnable_on, windows_version_runs
from archkit.model.platform_names import KNOWN_ARCH, KNOWN_OS, MACHINES, OS_ALIASES, canonical_arch, shape_problem, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
_SHORT = 64
"""Characters of a platform that may be remembered."""
# Patterns are texts: `re` compiles one on its first use, importing this module compiles none.
_OS_PART = r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?"
_QUOTED = rb"%([0-9A-Fa-f]{2})"
_BADLY_QUOTED = r"%(?![0-9A-Fa-f]{2})"
_SPECIAL = r"[^A-Za-z0-9_.-]"
_VERSION_BEHIND = r"(?::|,osver(?:sion)?=)([A-Za-z0-9_.-]+)$"


def _is_token(text: str) -> bool:
    return bool(text) and _TOKEN.issuperset(text)


def _quote(text: str) -> str:
    return re.sub(_SPECIAL, lambda found: "".join(f"%{byte:02X}" for byte in found.group().encode()), text)


def _unquote(text: str) -> str:
    if re.search(_BADLY_QUOTED, text):
        raise ValueError("% without two hexadecimal digits behind it")
    return re.sub(_QUOTED, lambda found: bytes([int(found.group(1), 16)]), text.encode()).decode()


def _features(features: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({feature for feature in features if feature}))


@attrs.frozen(order=True)
class Platform:
    """Where an image runs, as ``os/arch[/variant]``; equal when the target is equal.

    The constructor brings every spelling to one form and accepts any name; :meth:`parse` also checks that the
    operating system and the CPU exist.

    >>> Platform("Linux", "aarch64", "v8")
    Platform('linux/arm64')
    >>> str(Platform.parse("armhf"))
    'linux/arm/v7'

    Raises:
        PlatformSyntaxError: A part is empty or holds a character that no platform has.
    """

    os: str
    """Operating system in Go's spelling, such as ``linux`` or ``windows``."""
    arch: str
    """CPU in Go's spelling, such as ``amd64``."""
    variant: str = ""
    """CPU variant such as ``v7``; empty where the CPU's usual one is meant (``arm64`` is ``v8``, ``amd64`` is ``v1``)."""
    os_version: str = ""
    """Version of the operating system; only Windows images have one."""
    os_features: tuple[str, ...] = attrs.field(default=(), converter=_features)
    """Features that the operating system must have, sorted; only some Windows images have them."""

    def __attrs_post_init__(self) -> None:
        os_name = OS_ALIASES.get(self.os.lower(), self.os.lower())
        arch, variant = canonical_arch(self.arch, self.variant)
        for part, name in ((os_name, "operating system"), (arch, "CPU"), (variant or "-", "variant")):
            if not _is_token(part):
                text = "/".join(filter(None, (self.os, self.arch, self.variant)))
                raise PlatformSyntaxError(text, f"the {name} is {part!r}")
        for field, value in (("os", os_name), ("arch", arch), ("variant", variant)):
            object.__setattr__(self, field, value)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """The platform that a person wrote.

        A lone CPU name means Linux. Windows versions are read in the spellings of containerd
        (``windows(10.0.20348)/amd64``), go-containerregistry (``windows/amd64:10.0.20348``) and regctl
        (``windows/amd64,osver=10.0.20348``).

        >>> Platform.parse("linux/x86_64")
        Platform('linux/amd64')

        Raises:
            PlatformSyntaxError: Not a platform, or a name that is not on the closed list of operating systems and
                CPUs; says which one was probably meant.
        """
        stripped = text.strip()
        behind = re.search(_VERSION_BEHIND, stripped)
        version = behind.group(1) if behind else ""
        parts = (stripped[: behind.start()] if behind else stripped).split("/")
        os_part = re.fullmatch(_OS_PART, parts[0])
        if os_part is None or len(parts) > 3 or not all(map(_is_token, parts[1:])):
            raise PlatformSyntaxError(text, shape_problem(stripped), suggestion(stripped))
        if version and os_part.group(2):
            raise PlatformSyntaxError(text, "two versions of the operating system")
        try:
            version, *features = (_unquote(piece) for piece in f"{os_part.group(2) or version}{os_part.group(3) or ''}".split("+"))
        except ValueError as error:
            raise PlatformSyntaxError(text, f"the version or a feature of the operating system is badly quoted: {error}") from None
        parts[0] = os_part.group(1)
        if len(parts) == 1:
            return cls._parse_lone(text, parts[0], version)
        variant = parts[2] if len(parts) > 2 else ""
        platform = cls(parts[0], parts[1], variant, version, features)
        if platform.os not in KNOWN_OS:
            raise PlatformSyntaxError(text, f"there is no operating system {parts[0]!r}", suggestion(stripped))
        if platform.arch not in KNOWN_ARCH:
            raise PlatformSyntaxError(text, f"there is no CPU {parts[1]!r}", suggestion(stripped))
        return platform

    @classmethod
    def _parse_lone(cls, text: str, word: str, version: str) -> Platform:
        if not version and cls("linux", word).arch in KNOWN_ARCH:
            return cls("linux", word)
        os_name = OS_ALIASES.get(word.lower(), word.lower())
        if os_name in KNOWN_OS:
            raise PlatformSyntaxError(text, "the CPU is missing", f"{os_name}/amd64")
        reason = "'all' is a set of platforms, not one" if os_name == "all" else f"neither a CPU nor os/arch: {word!r}"
        raise PlatformSyntaxError(text, reason, suggestion(word))

    @classmethod
    def from_oci(cls, fields: Mapping[str, object]) -> Platform:
        """The platform that stands in an image config or in an index entry, whatever it says.

        Never raises: what is missing, is no text, or has characters that no platform has becomes ``unknown``
        (a missing variant stays empty).

        Args:
            fields: ``os``, ``architecture``, ``variant``, ``os.version``, ``os.features`` of the OCI image specification.
        """

        def token(name: str, default: str) -> str:
            value = fields.get(name)
            return value if isinstance(value, str) and _is_token(value) else default

        variant, version, features = fields.get("variant"), fields.get("os.version"), fields.get("os.features")
        names = (
            token("os", "unknown"),
            token("architecture", "unknown"),
            token("variant", "unknown" if isinstance(variant, str) and variant else ""),
        )
        if not version and not features and sum(map(len, names)) < _SHORT:
            return _known(*names)
        return cls(
            *names,
            version if isinstance(version, str) else "",
            tuple(item for item in features if isinstance(item, str)) if isinstance(features, (list, tuple)) else (),
        )

    @classmethod
    def host(cls) -> Platform:
        """Linux with the CPU of this machine: what its containers run, on macOS and Windows too."""
        machine = os.environ.get("PROCESSOR_ARCHITECTURE", "amd64") if sys.platform == "win32" else os.uname().machine
        arch, _, variant = MACHINES.get(machine.lower(), machine.lower()).partition("/")
        return cls("linux", arch, variant)

    @property
    def known(self) -> bool:
        """Whether the operating system and the CPU are on the closed lists; ``unknown/unknown`` is not."""
        return self.os in KNOWN_OS and self.arch in KNOWN_ARCH

    @property
    def os_arch(self) -> tuple[str, str]:
        """Operating system and CPU: all of a platform that a Kubernetes node label can say."""
        return (self.os, self.arch)

    @property
    def tag_suffix(self) -> str:
        """The text that names this platform in an image tag, such as ``linux_arm_v7``.

        As Skaffold writes it (``pkg/skaffold/build/platform.go``), with the version of the operating system and its
        features behind it where there are any.
        """
        parts = (self.os, self.arch, self.variant, self.os_version, *self.os_features)
        return re.sub(_SPECIAL + "+", "_", "_".join(filter(None, parts)))

    def to_oci(self) -> dict[str, object]:
        """The fields of the OCI image specification, without empty ones, in the order of the specification."""
        fields: dict[str, object] = {"architecture": self.arch, "os": self.os}
        if self.os_version:
            fields["os.version"] = self.os_version
        if self.os_features:
            fields["os.features"] = list(self.os_features)
        if self.variant:
            fields["variant"] = self.variant
        return fields

    def satisfies(self, asked: Platform) -> bool:
        """Whether this is the platform that was asked for; who asks without a version of the system takes any.

        >>> Platform.parse("windows(10.0.20348)/amd64").satisfies(Platform.parse("windows/amd64"))
        True
        """
        if asked.os_version or asked.os_features:
            return self == asked
        return (self.os, self.arch, self.variant) == (asked.os, asked.arch, asked.variant)

    def runs_on(self, node: Platform) -> bool:
        """Whether an image of this platform runs on a machine of platform ``node``; not symmetric.

        >>> Platform.parse("linux/arm/v6").runs_on(Platform.parse("linux/arm/v7"))
        True
        >>> Platform.parse("linux/amd64").runs_on(Platform.parse("linux/386"))
        False

        Source: containerd ``platforms.Only`` (``compare.go``) and, for Windows, Microsoft's version compatibility of
        containers as containerd reads it (``platform_windows_compat.go``).
        """
        features = set(self.os_features) - {UNMATCHED_FEATURE}
        if self.os != node.os or not features <= set(node.os_features or features):  # a node that names none may have any
            return False
        if self.os == "windows" and not windows_version_runs(self.os_version, node.os_version):
            return False
        return (self.arch, self.variant) in runnable_on(node.arch, node.variant)

    def __str__(self) -> str:
        os_part = self.os
        if self.os_version or self.os_features:
            os_part += "(" + "+".join(map(_quote, (self.os_version, *self.os_features))) + ")"
        return "/".join(filter(None, (os_part, self.arch, self.variant)))

    def __repr__(self) -> str:
        return f"Platform({str(self)!r})"


@lru_cache(maxsize=256)
def _known(os_name: str, arch: str, variant: str) -> Platform:
    """The same few platforms stand in image after image."""
    return Platform(os_name, arch, variant)


V = TypeVar("V")
ByPlatform = Mapping[Platform, V] | Mapping[str, V] | Mapping[Platform | str, V]
"""A mapping whose keys are platforms or their texts (mappings are invariant in their keys, so each must be named)."""
