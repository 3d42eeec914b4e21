"""Which images run on which machine, where the two are not alike (containerd ``compare.go``, ``platform_windows_compat.go``)."""

from __future__ import annotations

import re

from archkit.model.platform_names import canonical_arch

UNMATCHED_FEATURE = "win32k"
"""A feature that old Windows images name and no matching looks at (containerd ``windowsStripFeaturesMatcher``)."""
_STRICT_HOST_BUILD = 20348
"""First Windows build whose hosts run containers of an older build (containerd ``platform_windows_compat.go``)."""
_WINDOWS_LTSC_BUILDS = (20348, 26100)


def runnable_on(arch: str, variant: str) -> set[tuple[str, str]]:
    """CPU and variant of every image that a CPU runs, itself included (containerd ``platformVector``)."""
    runnable = {(arch, variant)}
    if arch == "amd64":
        runnable |= {canonical_arch("amd64", f"v{n}") for n in range(1, _generation(variant))} | {("386", "")}
    elif arch == "arm":
        runnable |= {("arm", f"v{n}") for n in range(5, _generation(variant))}
    elif arch == "arm64" and (found := re.fullmatch(r"v([89])(?:\.(\d+))?", variant or "v8")):
        last = {found.group(1): int(found.group(2) or 0)}
        if "9" in last:
            last["8"] = min(last["9"] + 5, 9)  # v9.0 is v8.5 and more; the eighth generation ends with v8.9
        runnable |= {canonical_arch("arm64", f"v{major}.{n}" if n else f"v{major}") for major in last for n in range(last[major] + 1)}
        runnable |= {("arm", f"v{n}") for n in range(5, 9)}
    return runnable


def _generation(variant: str) -> int:
    """``v7`` as 7; 0 for a variant that is no number."""
    number = variant.removeprefix("v")
    return int(number) if number.isdecimal() else 0


def windows_version_runs(image: str, host: str) -> bool:
    """Whether an image of one Windows version runs on a host of another.

    A version that is not there fits every other, and so does every image on a host whose version cannot be read.
    """
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
