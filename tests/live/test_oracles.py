"""Platforms and references, against the Go libraries that every engine and the kubelet use.

The oracle (tests/live/oracles) runs containerd's `platforms` and distribution's `reference`. Cases are products of
good and bad pieces, and random texts. Where archkit answers otherwise on purpose, the table names the reason; a case
that differs without one of them is a failure, and so is a reason that no case needs.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from archkit import ImageReference, Platform, PlatformSyntaxError, ReferenceSyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

pytestmark = pytest.mark.live

Answer = dict[str, Any]
REFUSED: Answer = {"error": True}


def ask(oracle: Path, mode: str, cases: Sequence[object]) -> list[Answer]:
    """What the library says of each case; every refusal looks the same."""
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([oracle, mode], input=lines, capture_output=True, encoding="utf-8", timeout=300, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(cases)
    return [REFUSED if "error" in answer else answer for answer in answers]


def compare(
    cases: Sequence[Any], theirs: Sequence[Answer], ours: Callable[[Any], Answer], intended: Callable[[Any, Answer], str]
) -> Counter[str]:
    """How many cases differ for each intended reason; fails for a case that differs without one."""
    reasons: Counter[str] = Counter()
    unexplained: list[str] = []
    for case, their in zip(cases, theirs, strict=True):
        our = ours(case)
        if our == their:
            continue
        if reason := intended(case, their):
            reasons[reason] += 1
        else:
            unexplained.append(f"{case!r}: the library says {their}, archkit {our}")
    assert unexplained == [], f"{len(unexplained)} of {len(cases)}"
    print(f"{len(cases)} cases, {sum(reasons.values())} differ on purpose:", dict(reasons))
    return reasons


def described(platform: Platform) -> Answer:
    return {
        "os": platform.os,
        "arch": platform.arch,
        "variant": platform.variant,
        "os_version": platform.os_version,
        "os_features": list(platform.os_features) or None,
        "text": str(platform),
    }


# ---- platforms as text -------------------------------------------------------------------------------------------

# fmt: off
OS = ["linux", "Linux", "macos", "darwin", "windows", "freebsd", "wasip1", "foo", "", "linux ", "li*nux", "a.b", "all", "unknown", "arm64", "linux)",
      "windows(10.0.17763)", "windows(10.0.17763+win32k)", "LINUX(1)", "linux(+gpu+avx)", "windows()", "linux(", "windows(a%2Fb)",
      "windows(10(1))", "windows(+)", "windows(1+b+a+a)", "windows(%zz)", "windows(%2)", "windows(%c3%a9)", "windows(10.0 1)", "linux(a/b)"]
ARCH = ["amd64", "AMD64", "x86_64", "x86-64", "i386", "386", "aarch64", "arm64", "arm", "armhf", "armel", "loong64", "riscv64", "wasm", "ppc64le",
        "mips64le", "s390x", "bar", "", "am d", "x86", "loongarch64", "v8", "_", "amd64:10.0", "amd64,osver=1.2", "amd64:", "amd64:1,osver=2"]
VARIANT = [None, "", "1", "v1", "V1", "v2", "v3", "5", "v5", "6", "v6", "7", "v7", "V7", "8", "v8", "8.0", "v8.0", "v8.1", "9", "v9", "9.0", "v9.0", "v9.1",
           "softfloat", "v 7", "v8/x"]
MORE = [" linux/amd64", "linux/amd64\n", "linux//amd64", "/amd64", "linux/amd64/v1/x", "linux\t/amd64", "linux,amd64"]
# fmt: on


def our_platform(text: str) -> Answer:
    try:
        return described(Platform.parse(text))
    except PlatformSyntaxError:
        return REFUSED


def intended_for_platform(text: str, their: Answer) -> str:
    if their is REFUSED and text != text.strip() and our_platform(text.strip()) != REFUSED:
        return "blanks around a platform are no mistake"
    if their is REFUSED and re.search(r"(:|,osver=)[\w.]+$", text):
        return "versions of the system are read in the spellings of go-containerregistry and regctl too"
    if their is not REFUSED and our_platform(text) == {**their, "text": our_platform(text).get("text")}:
        return "letters beyond ASCII are quoted; the library does not read its own text back"
    if their is not REFUSED and "/" not in re.sub(r"\(.*\)", "", text):
        return "an operating system alone does not name a CPU; the library takes the one it runs on"
    if their is not REFUSED and not Platform(their["os"], their["arch"]).known:
        return "names are on a closed list, so that a mistyped one is found"
    return ""


def test_platforms_are_read_as_containerd_reads_them(oracle: Path) -> None:
    cases = [f"{os}/{arch}" + ("" if variant is None else f"/{variant}") for os, arch, variant in itertools.product(OS, ARCH, VARIANT)]
    cases += [*OS, *ARCH, *MORE]
    reasons = compare(cases, ask(oracle, "platform", cases), our_platform, intended_for_platform)
    assert len(reasons) == 5


# ---- platforms as fields -----------------------------------------------------------------------------------------

# fmt: off
CPUS = ["amd64", "x86_64", "386", "i386", "arm", "armhf", "armel", "arm64", "aarch64", "riscv64", "ppc64le"]
VARIANTS = ["", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v8.0", "v8.1", "v8.5", "v8.6", "v8.9", "v9", "v9.0", "v9.1", "v9.4", "v9.7",
            "6", "7", "8", "9", "v10", "v0", "vx", "8.0", "9.0", "v7.1"]
VERSIONS = ["", "10.0.17763", "10.0.17763.2000", "10.0.19041", "10.0.20348", "10.0.20348.1", "10.0.22621", "10.0.25398", "10.0.26100", "10.0.26100.5",
            "10.0.27000", "10.1.20348", "6.3.9600", "10.0", "x.y.z", "10.0.x"]
FEATURES: list[list[str]] = [[], ["win32k"], ["x"], ["x", "win32k"], ["x", "y"]]
# fmt: on


def fields(os: str, arch: str, variant: str = "", version: str = "", features: Sequence[str] = ()) -> Answer:
    return {"os": os, "architecture": arch, "variant": variant, "os.version": version, "os.features": list(features)}


LINUX = [fields("linux", *pair) for pair in itertools.product(CPUS, VARIANTS)]
WINDOWS = [fields("windows", "amd64", "", *pair) for pair in itertools.product(VERSIONS, FEATURES)]


def test_fields_of_images_are_normalised_as_containerd_normalises_them(oracle: Path) -> None:
    cases = [*LINUX, *WINDOWS, fields("macos", "ARM64", "V8"), fields("Linux", "AMD64"), fields("unknown", "unknown")]
    answers = ask(oracle, "normalize", cases)
    for answer in answers:
        answer["os_features"] = answer["os_features"] or None
    assert compare(cases, answers, lambda case: described(Platform.from_oci(case)), lambda case, their: "") == {}


def intended_for_match(pair: list[Answer], their: Answer) -> str:
    image, node = (Platform.from_oci(side) for side in pair)
    if their["match"]:
        return ""
    if image == node and node.arch == "arm64" and not re.fullmatch(r"(v[89](\.\d)?)?", node.variant):
        return "what runs somewhere runs on itself, also with a variant that the library does not know"
    if image.os_features and not node.os_features:
        return "nodes do not say which features they have"
    return ""


def test_what_runs_where_is_what_containerd_matches(oracle: Path) -> None:
    chosen = random.Random(20241124)
    cases = chosen.sample(list(itertools.product(LINUX, LINUX)), 20_000)
    cases += itertools.product(WINDOWS, WINDOWS)
    cases += [(image, node) for image in (LINUX[0], WINDOWS[0]) for node in (LINUX[0], WINDOWS[0])]
    reasons = compare(
        cases,
        ask(oracle, "match", cases),
        lambda pair: {"match": Platform.from_oci(pair[0]).runs_on(Platform.from_oci(pair[1]))},
        intended_for_match,
    )
    assert len(reasons) == 2


# ---- references --------------------------------------------------------------------------------------------------

# fmt: off
HEX = "a1" * 32
HOSTS = ["", "localhost/", "localhost:5000/", "docker.io/", "index.docker.io/", "registry-1.docker.io/", "127.0.0.1:5000/", "ghcr.io/", "A/", "a/",
         "Foo.com/", "foo_bar.com/", "[::1]:5000/", "[::1]/", "[fe80::1%eth0]:5/", "foo.com:/", "foo.com:x/", "-a.com/", "a-.com/", "docker.io:443/", "foo:80/",
         "a..b/", "/", "http://", "LOCALHOST/", "localhost./", ".com/", "FOO:5000/", "ünï.com/", "Docker.io/"]
PATHS = ["nginx", "library/nginx", "a/b/c", "a__b", "a___b", "a.b", "a..b", "a-b", "a---b", "a_b", "-a", "a-", "Nginx", "a/", "a//b", "", HEX, HEX[:63],
         f"{HEX}/x", f"x/{HEX}", "a" * 255, "a" * 256, "library/" + "a" * 248, "a/" * 120 + "b", "a b", "a\n", "0", "é", "_a", "library", "a+b", "a@b"]
TAGS = ["", ":latest", ":1.2", ":" + "t" * 128, ":" + "t" * 129, ":-a", ":.a", ":_a", ":", ":a:b", ":A+b", ":é", ":1\n"]
DIGESTS = ["", f"@sha256:{HEX}", f"@sha256:{HEX.upper()}", f"@sha256:{HEX[1:]}", f"@sha512:{HEX * 2}", "@sha384:" + "c" * 96, "@md5:" + "a" * 32, "@",
           "@sha256", "@sha256:", f"@sha512:{HEX}", f"@sha256:{HEX}@sha256:{HEX}", f"@SHA256:{HEX}", f"@sha256+b:{HEX}"]
ODD = ["a:5000", "a:5000/b", "a:5000/b:c", "A", "a/B", "A.b", "docker.io", "x.y", " nginx", "nginx ", "@", "/", "scratch", ":a"]
# fmt: on


def our_reference(text: str) -> Answer:
    try:
        reference = ImageReference.parse(text)
    except ReferenceSyntaxError:
        return REFUSED
    return {
        "registry": reference.registry,
        "repository": reference.repository,
        "text": str(reference),
        "familiar": reference.familiar,
        "tag": reference.tag,
        "digest": reference.digest,
    }


def intended_for_reference(text: str, their: Answer) -> str:
    return "a host with an underscore is no host; the library then has none at all" if their.get("registry") == "" else ""


def test_references_are_read_as_distribution_reads_them(oracle: Path) -> None:
    chosen = random.Random(20241124)
    cases = ["".join(parts) for parts in chosen.sample(list(itertools.product(HOSTS, PATHS, TAGS, DIGESTS)), 20_000)]
    cases += ["".join(chosen.choices("aA0._-/:@[]é %", k=chosen.randint(1, 9))) for _ in range(10_000)]
    cases += [*ODD, *map("".join, itertools.product(HOSTS, PATHS))]
    reasons = compare(cases, ask(oracle, "reference", cases), our_reference, intended_for_reference)
    assert len(reasons) == 1
