"""Platform: parse, normalise, format, compare.

Spelling and normal forms are those of containerd's ``platforms`` package, the reference that Docker, BuildKit and
the kubelet share (github.com/containerd/platforms, ``database.go``, ``compare.go``, ``platforms.go``).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import attrs

from archkit.errors import PlatformSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterable

KNOWN_OS = frozenset(
    [
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "hurd",
        "illumos",
        "ios",
        "js",
        "linux",
        "nacl",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "wasi",
        "wasip1",
        "windows",
        "zos",
    ]
)
"""Operating systems that Go knows (``internal/syslist``), and ``wasi``, which Docker uses for WebAssembly."""

KNOWN_ARCH = frozenset(
    [
        "386",
        "amd64",
        "amd64p32",
        "arm",
        "armbe",
        "arm64",
        "arm64be",
        "loong64",
        "mips",
        "mipsle",
        "mips64",
        "mips64le",
        "mips64p32",
        "mips64p32le",
        "ppc",
        "ppc64",
        "ppc64le",
        "riscv",
        "riscv64",
        "s390",
        "s390x",
        "sparc",
        "sparc64",
        "wasm",
    ]
)
"""CPUs that Go knows (``internal/syslist``)."""

_OS_ALIASES = {"macos": "darwin"}
_ARCH_ALIASES = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
"""Other spellings of a CPU, and the variant that each implies (None: the one that is written)."""

_MACHINES = {
    "armv5l": "arm/v5",
    "armv6l": "arm/v6",
    "armv7l": "arm/v7",
    "armv8l": "arm/v7",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "loongarch64": "loong64",
    "x64": "amd64",
    "x86": "386",
}
"""What ``uname -m`` and Windows call a CPU, where parsing does not already know the name."""

_TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
# Patterns are texts: `re` compiles one on its first use, importing this module compiles none.
_OS_PART = r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?"
_QUOTED = rb"%([0-9A-Fa-f]{2})"
_BADLY_QUOTED = r"%(?![0-9A-Fa-f]{2})"
_SPECIAL = r"[^A-Za-z0-9_.-]"
_VERSION_BEHIND = r"(?::|,osver(?:sion)?=)([A-Za-z0-9_.-]+)$"

_UNMATCHED_FEATURE = "win32k"
"""A feature that old Windows images name and no matching looks at (containerd ``windowsStripFeaturesMatcher``)."""
_STRICT_HOST_BUILD = 20348
"""First Windows build whose hosts run containers of an older build (containerd ``platform_windows_compat.go``)."""
_WINDOWS_LTSC_BUILDS = (20348, 26100)


def _canonical_arch(arch: str, variant: str) -> tuple[str, str]:
    """The one spelling of a CPU and its variant (containerd ``normalizeArch``)."""
    arch, variant = arch.lower(), variant.lower()
    if arch in _ARCH_ALIASES:
        arch, implied = _ARCH_ALIASES[arch]
        variant = variant if implied is None else implied
    if arch == "amd64" and variant == "v1":
        variant = ""
    elif arch == "arm64":
        variant = {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"}.get(variant, variant)
    elif arch == "arm":
        variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    return arch, variant


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
        os_name = _OS_ALIASES.get(self.os.lower(), self.os.lower())
        arch, variant = _canonical_arch(self.arch, self.variant)
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
            raise PlatformSyntaxError(text, _shape_reason(stripped), _suggestion(stripped))
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
            raise PlatformSyntaxError(text, f"there is no operating system {parts[0]!r}", _suggestion(stripped))
        if platform.arch not in KNOWN_ARCH:
            raise PlatformSyntaxError(text, f"there is no CPU {parts[1]!r}", _suggestion(stripped))
        return platform

    @classmethod
    def _parse_lone(cls, text: str, word: str, version: str) -> Platform:
        if not version and cls("linux", word).arch in KNOWN_ARCH:
            return cls("linux", word)
        os_name = _OS_ALIASES.get(word.lower(), word.lower())
        if os_name in KNOWN_OS:
            raise PlatformSyntaxError(text, "the CPU is missing", f"{os_name}/amd64")
        reason = "'all' is a set of platforms, not one" if os_name == "all" else f"neither a CPU nor os/arch: {word!r}"
        raise PlatformSyntaxError(text, reason, _suggestion(word))

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
        return cls(
            token("os", "unknown"),
            token("architecture", "unknown"),
            token("variant", "unknown" if isinstance(variant, str) and variant else ""),
            version if isinstance(version, str) else "",
            tuple(item for item in features if isinstance(item, str)) if isinstance(features, (list, tuple)) else (),
        )

    @classmethod
    def host(cls) -> Platform:
        """Linux with the CPU of this machine: what its containers run, on macOS and Windows too."""
        machine = os.environ.get("PROCESSOR_ARCHITECTURE", "amd64") if sys.platform == "win32" else os.uname().machine
        arch, _, variant = _MACHINES.get(machine.lower(), machine.lower()).partition("/")
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
        features = set(self.os_features) - {_UNMATCHED_FEATURE}
        if self.os != node.os or not features <= set(node.os_features or features):  # a node that names none may have any
            return False
        if self.os == "windows" and not _windows_version_runs(self.os_version, node.os_version):
            return False
        return (self.arch, self.variant) in _runnable(node.arch, node.variant)

    def __str__(self) -> str:
        os_part = self.os
        if self.os_version or self.os_features:
            os_part += "(" + "+".join(map(_quote, (self.os_version, *self.os_features))) + ")"
        return "/".join(filter(None, (os_part, self.arch, self.variant)))

    def __repr__(self) -> str:
        return f"Platform({str(self)!r})"


def _runnable(arch: str, variant: str) -> set[tuple[str, str]]:
    """CPU and variant of every image that a CPU runs, itself included (containerd ``platformVector``)."""
    runnable = {(arch, variant)}
    if arch == "amd64":
        runnable |= {_canonical_arch("amd64", f"v{n}") for n in range(1, _generation(variant))} | {("386", "")}
    elif arch == "arm":
        runnable |= {("arm", f"v{n}") for n in range(5, _generation(variant))}
    elif arch == "arm64" and (found := re.fullmatch(r"v([89])(?:\.(\d+))?", variant or "v8")):
        last = {found.group(1): int(found.group(2) or 0)}
        if "9" in last:
            last["8"] = min(last["9"] + 5, 9)  # v9.0 is v8.5 and more; the eighth generation ends with v8.9
        runnable |= {_canonical_arch("arm64", f"v{major}.{n}" if n else f"v{major}") for major in last for n in range(last[major] + 1)}
        runnable |= {("arm", f"v{n}") for n in range(5, 9)}
    return runnable


def _generation(variant: str) -> int:
    """``v7`` as 7; 0 for a variant that is no number."""
    number = variant.removeprefix("v")
    return int(number) if number.isdecimal() else 0


def _windows_version_runs(image: str, host: str) -> bool:
    """A version that is not there fits every other, and so does every image on a host whose version cannot be read."""
    host_version = _windows_version(host)
    if not image or not any(host_version):
        return True
    image_version = _windows_version(image)
    if image_version[:2] != host_version[:2]:
        return False
    image_build, host_build = image_version[2], host_version[2]
    if host_build < _STRICT_HOST_BUILD:
        return image_build == host_build
    oldest = max((build for build in _WINDOWS_LTSC_BUILDS if build < host_build), default=_STRICT_HOST_BUILD)
    return oldest <= image_build <= host_build


def _windows_version(text: str) -> tuple[int, int, int]:
    """Major, minor and build; zeros where the text does not start with three numbers."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)(?:\.|$)", text, re.ASCII)
    return (int(found.group(1)), int(found.group(2)), int(found.group(3))) if found else (0, 0, 0)


def _shape_reason(text: str) -> str:
    if not text:
        return "it is empty"
    if "," in text:
        return "one platform is wanted, not a list"
    if text.count("/") > 2:
        return "more than three parts"
    if any(not part for part in text.split("/")):
        return "a part is empty"
    return "a character that no platform has"


def _suggestion(text: str) -> str:
    """The platform that a mistyped text probably means, or an empty text."""
    from difflib import get_close_matches  # only on the way to an error

    parts = [part for part in text.strip().lower().split("/") if part]
    if not parts or len(parts) > 3 or "," in text:
        return ""
    if parts[0] in _ARCH_ALIASES or parts[0] in KNOWN_ARCH:
        parts.insert(0, "linux")

    def arch_for(word: str) -> str:
        if word in _MACHINES:
            return _MACHINES[word]
        near = get_close_matches(word, [*KNOWN_ARCH, *_ARCH_ALIASES, *_MACHINES], 1, 0.6)
        return _MACHINES.get(near[0], near[0]) if near else ""

    if len(parts) == 1:
        arch = arch_for(parts[0])
        parts = ["linux", arch] if arch else parts
    known_os = get_close_matches(_OS_ALIASES.get(parts[0], parts[0]), sorted(KNOWN_OS), 1, 0.6)
    if len(parts) == 1:
        return f"{known_os[0]}/amd64" if known_os else ""
    arch = arch_for(parts[1])
    if not (known_os and arch):
        return ""
    try:
        return str(Platform(known_os[0], *"/".join([arch, *parts[2:]]).split("/")[:2]))
    except PlatformSyntaxError:
        return ""


V = TypeVar("V")
ByPlatform = Mapping[Platform, V] | Mapping[str, V] | Mapping[Platform | str, V]
"""A mapping whose keys are platforms or their texts (mappings are invariant in their keys, so each must be named)."""
