"""Platforms and references, against the Go libraries that every engine and the kubelet use.

The oracle (tests/live/oracles) runs containerd's `platforms` and distribution's `reference`. Of each kind there are
100,000 cases made of good and bad pieces, of pieces with some characters changed, and of noise; ARCHKIT_SEED=N makes
others. Where archkit answers otherwise on purpose, a table says for which reason, and what the answer is then: a case
that differs in any other way is a failure, and so is a reason that no case needs.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from archkit import ImageReference, Platform, PlatformSyntaxError, ReferenceSyntaxError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

Answer = dict[str, Any]
REFUSED: Answer = {"error": True}
CASES = 100_000
SEED = int(os.environ.get("ARCHKIT_SEED", "20241124"))


@attrs.frozen
class Difference:
    """One way in which archkit answers otherwise; exactly one of the rules says how."""

    reason: str
    respelled: Callable[[Any], Any] | None = None
    """archkit's answer is what the library says to this instead; an equal case: the difference is not about it."""
    refused: Callable[[Any, Answer], bool] | None = None
    """archkit refuses, where this holds of the case and of the library's answer."""
    answer: Callable[[Any, Answer], Answer] | None = None
    """archkit's answer, made of the case and the library's answer; an equal one: the difference is not about it."""


def ask(oracle: Path, mode: str, cases: Sequence[object]) -> list[Answer]:
    """What the library says of each case; every refusal looks the same."""
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([oracle, mode], input=lines, capture_output=True, encoding="utf-8", timeout=300, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(cases)
    return [REFUSED if "error" in answer else {key: None if value == [] else value for key, value in answer.items()} for answer in answers]


def respelled(case: Any, differences: Sequence[Difference]) -> tuple[Any, list[str]]:
    """What the library is to be asked instead, and for which reasons."""
    reasons: list[str] = []
    for difference in differences:
        if difference.respelled is not None and (other := difference.respelled(case)) != case:
            case = other
            reasons.append(difference.reason)
    return case, reasons


def explained(case: Any, our: Answer, their: Answer, differences: Sequence[Difference]) -> list[str]:
    """The first reason for which archkit answers otherwise; none where there is none."""
    for difference in differences:
        refused = difference.refused is not None and our == REFUSED and difference.refused(case, their)
        if refused or (difference.answer is not None and our == difference.answer(case, their)):
            return [difference.reason]
    return []


def compare(oracle: Path, mode: str, cases: Sequence[Any], ours: Callable[[Any], Answer], differences: Sequence[Difference] = ()) -> None:
    """Fails for a case that differs without a reason, and for a reason without a case."""
    theirs = ask(oracle, mode, cases)
    answers = [ours(case) for case in cases]
    differing = [(case, our, their) for case, our, their in zip(cases, answers, theirs, strict=True) if our != their]
    instead = [respelled(case, differences) for case, _, _ in differing]
    reasons: Counter[str] = Counter()
    unexplained: list[str] = []
    for (case, our, their), (other, found), there in zip(
        differing, instead, ask(oracle, mode, [other for other, _ in instead]), strict=True
    ):
        more = [] if our == there else explained(other, our, there, differences)
        reasons.update([*found, *more])
        if not (found and our == there) and not more:
            unexplained.append(f"{case!r}: the library says {their}, archkit {our}")
    accepted = sum(answer != REFUSED for answer in answers)
    print(f"seed {SEED}: {len(cases)} cases, {accepted} accepted, {len(differing)} differ on purpose: {dict(reasons)}")
    assert unexplained[:20] == [], f"{len(unexplained)} of {len(cases)} with ARCHKIT_SEED={SEED}"
    assert {difference.reason for difference in differences} == {*reasons}


def generated(pieces: Callable[[random.Random], str], alphabet: str) -> list[str]:
    """Texts: half of them made of pieces, four of ten such with some characters changed, the others noise."""
    chosen = random.Random(SEED)

    def text() -> str:
        kind = chosen.random()
        if kind >= 0.9:
            return "".join(chosen.choices(alphabet, k=chosen.randint(1, 12)))
        made = pieces(chosen)
        for _ in range(0 if kind < 0.5 else chosen.randint(1, 3)):
            at = chosen.randrange(len(made) + 1)
            kept = chosen.randint(0, 1)  # 0 and something put in: replaced; 1 and nothing: left as it is
            made = made[:at] + chosen.choice(["", *alphabet]) + (made[at:] if kept else made[at + 1 :])
        return made.swapcase() if chosen.random() < 0.02 else made

    return [text() for _ in range(CASES)]


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


def lone_system(text: str, their: Answer) -> bool:
    return their != REFUSED and "/" not in re.sub(r"\(.*\)", "", text)


_VERSION_BEHIND = re.compile(r"([\w-]+)(?:\(((?:\+[^)]*)?)\))?(/.*?)(?::|,osver(?:sion)?=)([\w.-]+)", re.ASCII | re.DOTALL)


def with_version_in_front(text: str) -> str:
    found = _VERSION_BEHIND.fullmatch(text)
    if found is None:
        return text
    system, features, rest, version = found.groups()
    return f"{system}({version}{features or ''}){rest}"


def with_our_text(case: str | Answer, their: Answer) -> Answer:
    odd = re.search(r"[^\w.%()+/-]", their.get("text", ""), re.ASCII) or {".", ".."} & {their.get(key) for key in ("os", "arch", "variant")}
    return their if not odd else {**their, "text": (our_platform(case) if isinstance(case, str) else our_fields(case)).get("text")}


OUR_TEXT = Difference(
    "what is no plain letter is quoted, a part of dots stands as it is; the library does not read its own text back",
    answer=with_our_text,
)
DIFFERENT_PLATFORMS = [
    Difference("blanks around a platform are no mistake", respelled=lambda text: text.strip()),
    Difference("versions of the system are read in the spellings of go-containerregistry and regctl too", respelled=with_version_in_front),
    Difference("an operating system alone does not name a CPU; the library takes the one it runs on", refused=lone_system),
    Difference(
        "names are on a closed list, so that a mistyped one is found",
        refused=lambda text, their: their != REFUSED and not Platform(their["os"], their["arch"]).known,
    ),
    Difference("quoted bytes are UTF-8", refused=lambda text, their: "\ufffd" in their.get("text", "")),
    OUR_TEXT,
]


def some_platform(chosen: random.Random) -> str:
    variant = chosen.choice(VARIANT)
    return f"{chosen.choice(OS)}/{chosen.choice(ARCH)}" + ("" if variant is None else f"/{variant}")


def test_platforms_are_read_as_containerd_reads_them(oracle: Path) -> None:
    cases = [f"{os}/{arch}" + ("" if variant is None else f"/{variant}") for os, arch, variant in itertools.product(OS, ARCH, VARIANT)]
    cases += [*OS, *ARCH, *MORE]
    cases += generated(some_platform, "aAv8600/()+%._-:,=* éx1")
    compare(oracle, "platform", cases, our_platform, DIFFERENT_PLATFORMS)


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


def our_fields(case: Answer) -> Answer:
    return described(Platform.from_oci(case))


UNREAL = {"os": "unknown", "architecture": "unknown", "variant": "unknown"}


def without_odd_names(case: Answer) -> Answer:
    """Names with characters that no platform has are not known."""
    odd = [key for key in UNREAL if not re.fullmatch(r"[\w.-]*", case[key], re.ASCII) or (key != "variant" and not case[key])]
    return {**case, **{key: UNREAL[key] for key in odd}}


DIFFERENT_FIELDS = [
    Difference("what no platform can be called is unknown", respelled=without_odd_names),
    Difference(
        "features are sorted, each is there once, and one without a name is none",
        respelled=lambda case: {**case, "os.features": sorted({*case["os.features"]} - {""})},
    ),
    OUR_TEXT,
]


def some_fields(chosen: random.Random) -> Answer:
    def name(names: Sequence[str]) -> str:
        made = chosen.choice(names)
        kind = chosen.random()
        if kind < 0.1:
            return made.swapcase()
        if kind < 0.15:
            at = chosen.randrange(len(made) + 1)
            return made[:at] + chosen.choice("a8v.-_ /%é") + made[at:]
        return made

    return fields(
        name(["linux", "windows", "darwin", "macos", "freebsd", "unknown", "", "foo"]),
        name([*CPUS, "unknown", "s390x", "loong64", "mips64le", ""]),
        name(VARIANTS),
        chosen.choice([*VERSIONS[:1] * 10, *VERSIONS]),
        chosen.choice([*FEATURES[:1] * 10, *FEATURES, ["b", "a", "a"], ["", "a"], ["é+", "("]]),
    )


def test_fields_of_images_are_normalised_as_containerd_normalises_them(oracle: Path) -> None:
    cases = [*LINUX, *WINDOWS, fields("macos", "ARM64", "V8"), fields("Linux", "AMD64"), fields("unknown", "unknown")]
    chosen = random.Random(SEED)
    cases += [some_fields(chosen) for _ in range(CASES)]
    compare(oracle, "normalize", cases, our_fields, DIFFERENT_FIELDS)


def runs(pair: list[Answer]) -> Answer:
    image, node = (Platform.from_oci(side) for side in pair)
    return {"match": image.runs_on(node)}


def on_itself(pair: list[Answer], their: Answer) -> Answer:
    image, node = (Platform.from_oci(side) for side in pair)
    unknown = node.arch == "arm64" and not re.fullmatch(r"(v[89](\.\d)?)?", node.variant)
    return {"match": their["match"] or (unknown and image == node)}


DIFFERENT_MATCHES = [
    Difference(
        "nodes do not say which features they have",
        respelled=lambda pair: [pair[0] if pair[1]["os.features"] else {**pair[0], "os.features": []}, pair[1]],
    ),
    Difference("what runs somewhere runs on itself, also with a variant that the library does not know", answer=on_itself),
]


def test_what_runs_where_is_what_containerd_matches(oracle: Path) -> None:
    chosen = random.Random(SEED)
    cases: list[list[Answer]] = [[chosen.choice(LINUX), chosen.choice(LINUX)] for _ in range(CASES * 2 // 3)]
    for _ in range(CASES // 3 + 1):  # of one CPU, where variants decide
        at = chosen.choice(range(0, len(LINUX), len(VARIANTS)))
        cases.append([chosen.choice(LINUX[at : at + len(VARIANTS)]) for _ in range(2)])
    cases += map(list, itertools.product(WINDOWS, WINDOWS))
    cases += [[image, node] for image in (LINUX[0], WINDOWS[0]) for node in (LINUX[0], WINDOWS[0])]
    compare(oracle, "match", cases, runs, DIFFERENT_MATCHES)


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
ODD = ["a:5000", "a:5000/b", "a:5000/b:c", "A", "a/B", "A.b", "docker.io", "x.y", " nginx", "nginx ", "@", "/", "scratch", ":a",
       "docker.io/a.b/c", "docker.io/localhost/c:1"]
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


def with_host(text: str, their: Answer) -> Answer:
    host = their.get("repository", "").partition("/")[0] if their.get("registry") == "docker.io" else ""
    return {**their, "familiar": their["text"]} if "." in host or host == "localhost" else their


DIFFERENT_REFERENCES = [
    Difference(
        "a host with an underscore is no host; the library then has none at all",
        refused=lambda text, their: their.get("registry") == "",
    ),
    Difference("a familiar name is the reference again when it is read; the library's may name a host", answer=with_host),
]


def some_reference(chosen: random.Random) -> str:
    # Most pieces are bad ones: the good ones that stand first in each list are taken more often.
    return "".join(chosen.choice(pieces[:2] if chosen.random() < 0.8 else pieces) for pieces in (HOSTS, PATHS, TAGS, DIGESTS))


def test_references_are_read_as_distribution_reads_them(oracle: Path) -> None:
    cases = [*ODD, *map("".join, itertools.product(HOSTS, PATHS)), *map("".join, itertools.product(PATHS, TAGS))]
    cases += generated(some_reference, "aA0._-/:@[]é %+5f")
    compare(oracle, "reference", cases, our_reference, DIFFERENT_REFERENCES)
