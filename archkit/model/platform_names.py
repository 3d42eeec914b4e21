"""What operating systems and CPUs are called, and what a mistyped name probably means.

The lists are Go's, the other spellings containerd's (github.com/containerd/platforms, ``database.go``).
"""

from __future__ import annotations

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

OS_ALIASES: dict[str, str] = {"macos": "darwin"}
ARCH_ALIASES: dict[str, tuple[str, str | None]] = {
    "i386": ("386", ""),
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
"""Other spellings of a CPU, and the variant that each implies (None: the one that is written)."""

MACHINES: dict[str, str] = {
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


def canonical_arch(arch: str, variant: str) -> tuple[str, str]:
    """The one spelling of a CPU and its variant (containerd ``normalizeArch``)."""
    arch, variant = arch.lower(), variant.lower()
    if arch in ARCH_ALIASES:
        arch, implied = ARCH_ALIASES[arch]
        variant = variant if implied is None else implied
    if arch == "amd64" and variant == "v1":
        variant = ""
    elif arch == "arm64":
        variant = {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"}.get(variant, variant)
    elif arch == "arm":
        variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    return arch, variant


def shape_problem(text: str) -> str:
    """What is wrong with the shape of a text that is no platform."""
    if not text:
        return "it is empty"
    if "," in text:
        return "one platform is wanted, not a list"
    if text.count("/") > 2:
        return "more than three parts"
    if any(not part for part in text.split("/")):
        return "a part is empty"
    return "a character that no platform has"


def suggestion(text: str) -> str:
    """The platform that a mistyped text probably means, or an empty text."""
    from difflib import get_close_matches  # only on the way to an error

    parts = [part for part in text.strip().lower().split("/") if part]
    if not parts or len(parts) > 3 or "," in text:
        return ""
    if parts[0] in ARCH_ALIASES or parts[0] in KNOWN_ARCH:
        parts.insert(0, "linux")

    def arch_for(word: str) -> str:
        if word in MACHINES:
            return MACHINES[word]
        near = get_close_matches(word, [*KNOWN_ARCH, *ARCH_ALIASES, *MACHINES], 1, 0.6)
        return MACHINES.get(near[0], near[0]) if near else ""

    if len(parts) == 1:
        arch = arch_for(parts[0])
        parts = ["linux", arch] if arch else parts
    known_os = get_close_matches(OS_ALIASES.get(parts[0], parts[0]), sorted(KNOWN_OS), 1, 0.6)
    if len(parts) == 1:
        return f"{known_os[0]}/amd64" if known_os else ""
    arch = arch_for(parts[1])
    if not (known_os and arch):
        return ""
    cpu, variant = canonical_arch(*"/".join([arch, *parts[2:], ""]).split("/")[:2])
    return "/".join(filter(None, (known_os[0], cpu, variant)))
