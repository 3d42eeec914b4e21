"""Input that is meant to hurt: a right answer or a typed error, in bounded time and memory, each in a process with a limit."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

from archkit import AffinityRenderer, ManifestLimits, ManifestTooLarge

resource = pytest.importorskip("resource", reason="limits of processes are a matter of POSIX")

SECONDS = 60
MEGABYTES = 1500

PREAMBLE = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({MEGABYTES} << 20, {MEGABYTES} << 20))
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
from archkit import AffinityRenderer, ManifestLimits, ManifestSyntaxError, ManifestTooLarge
renderer = AffinityRenderer(platforms={{"web": "linux/amd64,linux/arm64"}}, affinity="always")
HEAD = "apiVersion: v1\\nkind: Pod\\nspec:\\n  containers:\\n  - image: web\\n"
def outcome(text):
    try:
        rendered = renderer.render(text, name="in.yaml")
    except (ManifestSyntaxError, ManifestTooLarge) as error:
        print(type(error).__name__, error.name, error.line, error)
    else:
        print("rendered", len(rendered.pods), rendered.text == text)
"""

LAUGHS = "\\n".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        pytest.param(f'outcome(HEAD + "  a0: &a0 [x]\\n{LAUGHS}\\n")', "rendered 1 False", id="billion laughs beside the pod"),
        pytest.param(
            f'outcome(HEAD + "  a0: &a0 [x]\\n{LAUGHS}\\n  tolerations: *a29\\n")',
            "ManifestTooLarge in.yaml",
            id="billion laughs in the pod",
        ),
        pytest.param(
            'items = "\\n".join(f"- &l{i} {{kind: List, apiVersion: v1, items: [{chr(44).join([chr(42) + chr(108) + str(i - 1)] * 9)}]}}" for i in range(1, 12))\n'
            'outcome("kind: List\\napiVersion: v1\\nitems:\\n- &l0 {apiVersion: v1, kind: Pod, spec: {containers: [{image: web}]}}\\n" + items + "\\n")',
            "ManifestTooLarge in.yaml",
            id="billion pods",
        ),
        pytest.param('outcome(HEAD + "  x: " + "y" * 100_000_000)', "ManifestTooLarge in.yaml", id="100 MB of one scalar"),
        pytest.param('outcome(HEAD + "  x: " + "y" * 20_000_000)', "ManifestTooLarge in.yaml", id="20 MB of one scalar"),
        pytest.param('outcome("kind: ConfigMap\\nx: " + "y" * 20_000_000)', "rendered 0 True", id="20 MB without an image"),
        pytest.param('outcome(HEAD + "  x: " + "[" * 100_000)', "ManifestTooLarge in.yaml 6", id="100,000 levels of flow"),
        pytest.param('outcome(HEAD + "  x:\\n   " + "- " * 100_000 + "a")', "ManifestTooLarge in.yaml 7", id="100,000 levels of dashes"),
        pytest.param('outcome(HEAD + "  x: " + "{a: " * 300 + "}" * 300)', "ManifestTooLarge in.yaml 6", id="300 levels"),
        pytest.param('outcome(HEAD + "  x: [" + "a," * 7_000_000 + "]")', "ManifestTooLarge in.yaml", id="seven million values"),
        pytest.param('outcome("---\\n" * 1_000_000)', "ManifestTooLarge in.yaml 100001", id="a million documents"),
        pytest.param('outcome(HEAD + "  x: \\x00")', "ManifestSyntaxError in.yaml 6", id="NUL"),
        pytest.param('outcome(HEAD + "  x: \\ud800")', "ManifestSyntaxError in.yaml 6", id="lone surrogate"),
        pytest.param('outcome(HEAD + "  x: " + "&a " * 1_000_000)', "ManifestSyntaxError in.yaml 6", id="a million anchors in a row"),
        pytest.param(
            'outcome(HEAD + "".join(f"  k{i}: &k{i} a\\n  l{i}: *k{i}\\n" for i in range(100_000)))',
            "rendered 1 False",
            id="100,000 anchors",
        ),
        pytest.param('outcome(HEAD + "  x: \\"" + "\\\\x41" * 1_000_000 + "\\"")', "rendered 1 False", id="a million escapes"),
        pytest.param('outcome(HEAD + " #\\n" * 1_000_000)', "rendered 1 False", id="a million comments"),
        pytest.param('outcome(HEAD + "  ? " * 50_000)', "Manifest", id="50,000 complex keys"),
        pytest.param('outcome(HEAD + "!" * 1_000_000)', "ManifestSyntaxError in.yaml", id="a tag without end"),
        pytest.param('outcome("{{" * 100_000 + "image")', "ManifestTooLarge in.yaml 1", id="200,000 braces"),
        pytest.param(
            'total = sum(len(piece.pods) for piece in renderer.render_stream("---\\n" + HEAD for _ in range(20_000)))\nprint("rendered", total)',
            "rendered 20000",
            id="a stream of 20,000 pods",
        ),
        pytest.param(
            'try:\n    list(renderer.render_stream("y" * 1000 for _ in range(100_000)))\nexcept ManifestTooLarge as error:\n    print("too large", error)',
            "too large",
            id="a stream without an end of line",
        ),
    ],
)
def test_hostile_input_is_answered_within_bounds(code: str, wanted: str) -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PREAMBLE + code], capture_output=True, text=True, timeout=10 * SECONDS, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(wanted), textwrap.shorten(done.stdout, 500)
    assert time.monotonic() - started < 10 * SECONDS


def test_a_stream_takes_the_same_memory_whatever_its_length() -> None:
    code = (
        "import sys\nfrom archkit import AffinityRenderer\n"
        'renderer = AffinityRenderer(platforms={"web": "linux/arm64"}, affinity="always")\n'
        'document = "---\\napiVersion: v1\\nkind: Pod\\nspec:\\n  containers:\\n  - image: web\\n" + "  # comment\\n" * 500\n'
        "count = sum(len(piece.pods) for piece in renderer.render_stream(document for _ in range(int(sys.argv[1]))))\n"
        "import resource\nprint(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for length in (200, 4000):
        done = subprocess.run([sys.executable, "-c", code, str(length)], capture_output=True, text=True, check=True)
        count, peak = map(int, done.stdout.split())
        assert count == length
        peaks.append(peak)
    assert peaks[1] < peaks[0] * 1.1, "26 MB of text must not take more memory than 1.3 MB"


POD = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: web\n"


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (ManifestLimits(characters=10), "characters"),
        (ManifestLimits(document_characters=10), "document_characters"),
        (ManifestLimits(documents=1), "documents"),
        (ManifestLimits(depth=3), "depth"),
        (ManifestLimits(nodes=10), "nodes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_limit_can_be_set_and_its_error_names_it(limits: ManifestLimits, word: str) -> None:
    with pytest.raises(ManifestTooLarge, match=rf"\({word}\)"):
        AffinityRenderer(limits=limits).render(POD + "---\n" + POD)


def test_a_limit_of_the_whole_text_does_not_bind_a_stream() -> None:
    renderer = AffinityRenderer(limits=ManifestLimits(characters=100, documents=2))

    assert len(list(renderer.render_stream([POD + "---\n"] * 50))) == 51
