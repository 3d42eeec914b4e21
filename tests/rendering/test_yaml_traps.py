"""What makes editing YAML by offsets hard, one case each: the exact text that goes in and the exact text that comes out."""

from __future__ import annotations

import pytest

from archkit import AffinityRenderer, BuiltImage, ManifestSyntaxError, PlatformSet

REFERENCE = "r.example/web:1@sha256:" + "2" * 64
RENDERER = AffinityRenderer(builds=[BuiltImage("web", REFERENCE, PlatformSet("linux/arm64"))], affinity="always")
HEAD = "apiVersion: v1\nkind: Pod\n"
TERM = (
    "{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [linux]}, {key: kubernetes.io/arch, operator: In, values: [arm64]}]}"
)
FLOW = "{nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [" + TERM + "]}}}"
JSON_TERM = (
    '{"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}, '
    '{"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]}'
)
JSON = '{"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [' + JSON_TERM + "]}}}"


def block(indent: int, step: int = 2, dash: int = 0, newline: str = "\n") -> str:
    """The lines of a new ``affinity`` key in that column."""
    lines = [
        (0, "affinity:"),
        (step, "nodeAffinity:"),
        (2 * step, "requiredDuringSchedulingIgnoredDuringExecution:"),
        (3 * step, "nodeSelectorTerms:"),
        (3 * step + dash, "- matchExpressions:"),
        (3 * step + 2 * dash + 2, "- key: kubernetes.io/os"),
        (3 * step + 2 * dash + 4, "operator: In"),
        (3 * step + 2 * dash + 4, "values:"),
        (3 * step + 3 * dash + 4, "- linux"),
        (3 * step + 2 * dash + 2, "- key: kubernetes.io/arch"),
        (3 * step + 2 * dash + 4, "operator: In"),
        (3 * step + 2 * dash + 4, "values:"),
        (3 * step + 3 * dash + 4, "- arm64"),
    ]
    return "".join(" " * (indent + column) + text + newline for column, text in lines)


def below(indent: int, step: int = 2, dash: int = 0, newline: str = "\n") -> str:
    """The same without the key itself."""
    return block(indent, step, dash, newline).split(newline, 1)[1]


POD = HEAD + "spec:\n  containers:\n  - image: web\n"

CASES = [
    pytest.param(POD, HEAD + "spec:\n" + block(2) + f"  containers:\n  - image: {REFERENCE}\n", id="plain"),
    pytest.param("\ufeff" + POD, "\ufeff" + HEAD + "spec:\n" + block(2) + f"  containers:\n  - image: {REFERENCE}\n", id="byte order mark"),
    pytest.param(
        POD.replace("\n", "\r\n"),
        (HEAD + "spec:\n" + block(2) + f"  containers:\n  - image: {REFERENCE}\n").replace("\n", "\r\n"),
        id="CRLF",
    ),
    pytest.param(
        POD.replace("\n", "\r"),
        (HEAD + "spec:\n" + block(2) + f"  containers:\n  - image: {REFERENCE}\n").replace("\n", "\r"),
        id="lone CR",
    ),
    pytest.param(POD[:-1], HEAD + "spec:\n" + block(2) + f"  containers:\n  - image: {REFERENCE}", id="no final newline"),
    pytest.param(
        HEAD + "spec:\n    containers:\n    - image: web\n",
        HEAD + "spec:\n" + block(4, 4) + f"    containers:\n    - image: {REFERENCE}\n",
        id="indented by 4, lists not",
    ),
    pytest.param(
        HEAD + "spec:\n    containers:\n      - image: web\n",
        HEAD + "spec:\n" + block(4, 4, 2) + f"    containers:\n      - image: {REFERENCE}\n",
        id="indented by 4, lists by 2",
    ),
    pytest.param(
        HEAD + "spec:\n containers:\n - image: web\n",
        HEAD + "spec:\n" + block(1, 1) + f" containers:\n - image: {REFERENCE}\n",
        id="indented by 1",
    ),
    pytest.param(
        HEAD + "spec:\n        containers:\n        - image: web\n",
        HEAD + "spec:\n" + block(8, 8) + f"        containers:\n        - image: {REFERENCE}\n",
        id="indented by 8",
    ),
    pytest.param(
        HEAD + "spec:  # pod\n\n  # free\n\n  # first\n  # second\n  containers: # why\n  # inside\n  - image: web # end\n",
        HEAD
        + "spec:  # pod\n\n  # free\n\n"
        + block(2)
        + f"  # first\n  # second\n  containers: # why\n  # inside\n  - image: {REFERENCE} # end\n",
        id="comments stay with what they are about",
    ),
    pytest.param(
        HEAD + "spec: &s # c\n  containers:\n  - image: &i web\n",
        HEAD + "spec: &s # c\n" + block(2) + f"  containers:\n  - image: &i {REFERENCE}\n",
        id="anchors without aliases",
    ),
    pytest.param(
        HEAD + "spec: !!map\n  containers: !!seq\n  - image: !!str 'web'\n",
        HEAD + "spec: !!map\n" + block(2) + f"  containers: !!seq\n  - image: !!str '{REFERENCE}'\n",
        id="tags",
    ),
    pytest.param(
        HEAD + "spec: !!map &s\n\n  # c\n  containers:\n  - image: ! web\n",
        HEAD + "spec: !!map &s\n\n" + block(2) + f"  # c\n  containers:\n  - image: ! {REFERENCE}\n",
        id="tag and anchor",
    ),
    pytest.param(
        HEAD + "spec:\n  containers:\n  - image: \"web\"\n  - image: 'web'\n",
        HEAD + "spec:\n" + block(2) + f"  containers:\n  - image: \"{REFERENCE}\"\n  - image: '{REFERENCE}'\n",
        id="quotes stay",
    ),
    pytest.param(
        HEAD + 'spec:\n  containers:\n  - image: "w\\x65b"\n    "im\\x61ge": x\n',
        HEAD + 'spec:\n  containers:\n  - image: "w\\x65b"\n    "im\\x61ge": x\n',
        id="escapes, and one key spelt twice",
    ),
    pytest.param(
        HEAD + 'spec:\n  containers:\n  - "im\\x61ge": "w\\x65b"\n',
        HEAD + "spec:\n" + block(2) + f'  containers:\n  - "im\\x61ge": "{REFERENCE}"\n',
        id="escapes in key and value",
    ),
    pytest.param(
        HEAD + "spec:\n  containers:\n  - image: |-\n      web\n\n    name: a\n  - image: >-  # folded\n     web\n",
        HEAD
        + "spec:\n"
        + block(2)
        + f"  containers:\n  - image: |-\n      {REFERENCE}\n\n    name: a\n  - image: >-  # folded\n     {REFERENCE}\n",
        id="block scalars",
    ),
    pytest.param(
        HEAD + "spec:\n  affinity:\n  containers:\n  - image: web\n",
        HEAD + "spec:\n  affinity:\n" + below(2) + f"  containers:\n  - image: {REFERENCE}\n",
        id="empty affinity",
    ),
    pytest.param(
        HEAD + "spec:\n  containers:\n  - image: web\n  affinity:",
        HEAD + f"spec:\n  containers:\n  - image: {REFERENCE}\n  affinity:\n" + below(2)[:-1],
        id="empty affinity at the end of the file",
    ),
    pytest.param(
        HEAD + "spec:\n  affinity: {} # none\n  containers:\n  - image: web\n",
        HEAD + "spec:\n  affinity: # none\n" + below(2) + f"  containers:\n  - image: {REFERENCE}\n",
        id="empty flow mapping with a comment",
    ),
    pytest.param(
        HEAD + "spec:\n  affinity: ~\n  containers:\n  - image: web\n",
        HEAD + "spec:\n  affinity:\n" + below(2) + f"  containers:\n  - image: {REFERENCE}\n",
        id="null",
    ),
    pytest.param(
        HEAD + "spec:\n  affinity: { # why\n  }\n  containers:\n  - image: web\n",
        HEAD + "spec:\n  affinity: {" + FLOW[1:-1] + f" # why\n  }}\n  containers:\n  - image: {REFERENCE}\n",
        id="empty flow mapping with a comment inside",
    ),
    pytest.param(
        POD + "  affinity: !!null &a null # why\n",
        POD.replace("web", REFERENCE) + f"  affinity: &a {FLOW} # why\n",
        id="null with a tag, which goes, and an anchor, which stays",
    ),
    pytest.param(POD + "  affinity: !!null\n", POD.replace("web", REFERENCE) + f"  affinity: {FLOW}\n", id="null by its tag alone"),
    pytest.param(
        HEAD + "spec:\n  affinity: &none {}\n  containers:\n  - image: web\n",
        HEAD + "spec:\n  affinity: &none " + FLOW + f"\n  containers:\n  - image: {REFERENCE}\n",
        id="empty flow mapping with an anchor",
    ),
    pytest.param(
        HEAD + "spec:\n  affinity:\n\n    {}\n  containers:\n  - image: web\n",
        HEAD + "spec:\n  affinity:\n\n    " + FLOW + f"\n  containers:\n  - image: {REFERENCE}\n",
        id="empty flow mapping on a line of its own",
    ),
    pytest.param(
        HEAD + "spec: {containers: [{image: web}]}\n",
        HEAD + "spec: {affinity: " + FLOW + ', containers: [{image: "' + REFERENCE + '"}]}\n',
        id="flow",
    ),
    pytest.param(
        HEAD + "spec: {affinity, containers: [{image: web}]}\n",
        HEAD + "spec: {affinity: " + FLOW + ', containers: [{image: "' + REFERENCE + '"}]}\n',
        id="flow with a lone key",
    ),
    pytest.param(
        HEAD + "spec: {affinity: , containers: [{image: web}]}\n",
        HEAD + "spec: {affinity: " + FLOW + ', containers: [{image: "' + REFERENCE + '"}]}\n',
        id="flow with an empty value",
    ),
    pytest.param(
        '{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "web"}]}}',
        '{"apiVersion": "v1", "kind": "Pod", "spec": {"affinity": ' + JSON + ', "containers": [{"image": "' + REFERENCE + '"}]}}',
        id="JSON",
    ),
    pytest.param(
        '{"apiVersion":"v1","kind":"Pod","spec":{"affinity":null,"containers":[{"image":"web"}]}}',
        '{"apiVersion":"v1","kind":"Pod","spec":{"affinity":'
        + JSON.replace(", ", ",").replace(": ", ":")
        + ',"containers":[{"image":"'
        + REFERENCE
        + '"}]}}',
        id="compact JSON",
    ),
    pytest.param(
        "--- # one\n" + POD + "--- # two\nkind: Service\n...\n%YAML 1.1\n# c\n---\n" + POD,
        "--- # one\n" + RENDERER.render(POD).text + "--- # two\nkind: Service\n...\n%YAML 1.1\n# c\n---\n" + RENDERER.render(POD).text,
        id="documents and directives",
    ),
    pytest.param(
        HEAD + "metadata:\n  annotations:\n    a: |\n      --- x\n      ... y\n" + POD[len(HEAD) :],
        HEAD + "metadata:\n  annotations:\n    a: |\n      --- x\n      ... y\n" + RENDERER.render(POD).text[len(HEAD) :],
        id="markers that are text",
    ),
    pytest.param(
        HEAD + "metadata: {name: 'é☃🎉𝄞'}\nspec:\n  containers:\n  - name: 漢字🎉\n    image: web\n",
        HEAD + "metadata: {name: 'é☃🎉𝄞'}\nspec:\n" + block(2) + f"  containers:\n  - name: 漢字🎉\n    image: {REFERENCE}\n",
        id="not ASCII",
    ),
    pytest.param(
        HEAD + "metadata:\n  name: 'a\u0085b\u2028c'\nspec:\n  containers:\n  - image: web\n",
        HEAD + "metadata:\n  name: 'a\u0085b\u2028c'\nspec:\n" + block(2) + f"  containers:\n  - image: {REFERENCE}\n",
        id="NEL and line separator",
    ),
    pytest.param(
        HEAD + "spec:\n  containers:\n  - name: a\t# tab before a comment\n    image: web\t\n",
        HEAD + "spec:\n" + block(2) + f"  containers:\n  - name: a\t# tab before a comment\n    image: {REFERENCE}\t\n",
        id="tabs",
    ),
    pytest.param(
        HEAD + "spec:\n  containers:\n  - args: ['{{ .Values.x }}', \"{{\"]\n    image: web\n    env: 'x " + "y" * 5000 + "'\n",
        HEAD
        + "spec:\n"
        + block(2)
        + f"  containers:\n  - args: ['{{{{ .Values.x }}}}', \"{{{{\"]\n    image: {REFERENCE}\n    env: 'x "
        + "y" * 5000
        + "'\n",
        id="braces in texts, a very long line",
    ),
    pytest.param(
        HEAD + "? spec\n: containers:\n  - image: web\n",
        HEAD + "? spec\n: " + block(2)[2:] + f"  containers:\n  - image: {REFERENCE}\n",
        id="complex key",
    ),
    pytest.param("# only a comment about an image\n", "# only a comment about an image\n", id="nothing in it"),
    pytest.param("", "", id="empty"),
]


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_the_edit_is_exact(text: str, wanted: str) -> None:
    rendered = RENDERER.render(text)

    assert rendered.text == wanted
    assert RENDERER.render(wanted).text == wanted


def test_pretty_json_is_edited_line_by_line() -> None:
    text = '{\n    "apiVersion": "v1",\n    "kind": "Pod",\n    "spec": {\n        "containers": [\n            {"image": "web"}\n        ]\n    }\n}\n'

    lines = RENDERER.render(text).text.splitlines()

    assert lines[:6] == [*text.splitlines()[:4], '        "affinity": {', '            "nodeAffinity": {']
    assert lines[-6:] == [
        "        },",
        '        "containers": [',
        '            {"image": "' + REFERENCE + '"}',
        "        ]",
        "    }",
        "}",
    ]


TERMS = (
    HEAD + "spec:\n  containers: [{image: 'web'}]\n  affinity:\n    nodeAffinity:\n      requiredDuringSchedulingIgnoredDuringExecution:\n"
)
OS_ARCH = "{0}- key: kubernetes.io/os\n{0}  operator: In\n{0}  values:\n{0}  - linux\n{0}- key: kubernetes.io/arch\n{0}  operator: In\n{0}  values:\n{0}  - arm64\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "        nodeSelectorTerms:\n        - matchExpressions:\n          - key: disk\n            operator: Exists # any\n          # trailing\n  nodeName: ''\n",
            "        nodeSelectorTerms:\n        - matchExpressions:\n          - key: disk\n            operator: Exists # any\n"
            + OS_ARCH.format("          ")
            + "          # trailing\n  nodeName: ''\n",
            id="behind the last line of the last item",
        ),
        pytest.param(
            "        nodeSelectorTerms:\n        - matchExpressions:\n          - key: disk\n            operator: Exists",
            "        nodeSelectorTerms:\n        - matchExpressions:\n          - key: disk\n            operator: Exists\n"
            + OS_ARCH.format("          ")[:-1],
            id="at the end of the file",
        ),
        pytest.param(
            "        nodeSelectorTerms:\n        - matchFields: [{key: metadata.name, operator: In, values: [n]}]\n",
            "        nodeSelectorTerms:\n        - matchExpressions:\n"
            + OS_ARCH.format("          ")
            + "          matchFields: [{key: metadata.name, operator: In, values: [n]}]\n",
            id="a term of fields alone",
        ),
        pytest.param(
            "        nodeSelectorTerms:\n        - matchExpressions:\n          - {key: disk, operator: Exists}\n",
            "        nodeSelectorTerms:\n        - matchExpressions:\n          - {key: disk, operator: Exists}\n"
            "          - {key: kubernetes.io/os, operator: In, values: [linux]}\n          - {key: kubernetes.io/arch, operator: In, values: [arm64]}\n",
            id="items in flow style",
        ),
        pytest.param(
            "        nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: Exists},]}]\n",
            "        nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: Exists}, {key: kubernetes.io/os, operator: In, values: [linux]},"
            " {key: kubernetes.io/arch, operator: In, values: [arm64]},]}]\n",
            id="flow with a comma at the end",
        ),
        pytest.param(
            "        nodeSelectorTerms:\n        -   matchExpressions:\n            -   key: disk\n                operator: In\n                values:\n                - |-\n                  ssd\n\n",
            "        nodeSelectorTerms:\n        -   matchExpressions:\n            -   key: disk\n                operator: In\n                values:\n                - |-\n                  ssd\n\n"
            "            -   key: kubernetes.io/os\n                operator: In\n                values:\n                - linux\n"
            "            -   key: kubernetes.io/arch\n                operator: In\n                values:\n                - arm64\n",
            id="wide dashes, behind a block scalar",
        ),
    ],
)
def test_existing_terms_are_narrowed_in_their_own_style(before: str, after: str) -> None:
    wanted = TERMS.replace("'web'", f"'{REFERENCE}'") + after

    rendered = RENDERER.render(TERMS + before)

    assert rendered.text == wanted
    assert not RENDERER.render(wanted).changes


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        pytest.param(POD + "  a: b: c\n", 6, 7, id="not YAML"),
        pytest.param("# c\n" + POD + "---\n" + POD + "\tx: y\n", 13, 1, id="tab in the second document"),
        pytest.param(POD + "  x: *nowhere\n", 6, 6, id="alias without anchor"),
        pytest.param(POD + "  x: &a [*a]\n", 6, 10, id="anchor inside itself"),
        pytest.param(POD + '  x: "\x00"\n', 6, 7, id="NUL"),
        pytest.param(POD + "  é: '\x7f'\n", 6, 7, id="DEL behind a wide character"),
        pytest.param(POD + "  x: \ud800\n", 6, 6, id="half of a surrogate pair"),
        pytest.param("%YAML 1.3\n---\n" + POD, 1, 1, id="a version that does not exist"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_place(text: str, line: int, column: int) -> None:
    with pytest.raises(ManifestSyntaxError) as caught:
        RENDERER.render(text, name="pod.yaml")
    assert (caught.value.name, caught.value.line, caught.value.column) == ("pod.yaml", line, column)
    assert f"pod.yaml:{line}:{column}" in str(caught.value)


def test_an_aliased_image_is_pinned_once_when_all_who_share_it_want_it() -> None:
    text = HEAD + "spec:\n  initContainers:\n  - image: &i web\n  containers:\n  - image: *i\n  - image: *i\n"

    rendered = RENDERER.render(text)

    assert (
        rendered.text
        == HEAD + "spec:\n" + block(2) + f"  initContainers:\n  - image: &i {REFERENCE}\n  containers:\n  - image: *i\n  - image: *i\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HEAD + "metadata: {name: &i web}\nspec:\n  containers:\n  - image: *i\n", id="a name shares the image"),
        pytest.param(HEAD + "x: &c {image: web}\nspec:\n  containers:\n  - <<: *c\n", id="merge from outside"),
        pytest.param(HEAD + "spec: &s\n  containers:\n  - image: web\nother: *s\n", id="the pod itself is shared"),
    ],
)
def test_what_is_shared_with_something_else_is_left_alone(text: str) -> None:
    rendered = RENDERER.render(text)

    assert rendered.text == text
    assert [finding.code for finding in rendered.findings] == ["shared-by-alias"]


def test_pods_that_share_one_spec_get_one_edit() -> None:
    pod = "- apiVersion: v1\n  kind: Pod\n  spec: "
    text = "apiVersion: v1\nkind: List\nitems:\n" + pod + "&s\n    containers:\n    - image: web\n" + pod + "*s\n"

    rendered = RENDERER.render(text)

    assert rendered.text.count("affinity:") == 1
    assert rendered.text.count(REFERENCE) == 1
    assert len(rendered.pods) == 2
    assert not rendered.findings


def test_merge_keys_are_followed_and_the_pod_gets_its_own_affinity() -> None:
    text = HEAD + "spec:\n  <<: {restartPolicy: Never}\n  containers:\n  - <<: {image: web}\n    name: a\n"

    rendered = RENDERER.render(text)

    assert (
        rendered.text
        == HEAD + "spec:\n" + block(2) + f'  <<: {{restartPolicy: Never}}\n  containers:\n  - <<: {{image: "{REFERENCE}"}}\n    name: a\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(POD + "  containers: []\n", id="in the pod"),
        pytest.param(POD + "spec: {}\n", id="on the way to the pod"),
        pytest.param(POD + "kind: Pod\n", id="the kind"),
        pytest.param(HEAD.replace("Pod", "ConfigMap") + "spec: {containers: [{image: web}]}\nkind: Pod\n", id="the kind, late"),
        pytest.param(HEAD + "spec:\n  containers:\n  - image: web\n    image: web\n", id="the image"),
    ],
)
def test_a_key_that_stands_twice_makes_no_edit(text: str) -> None:
    rendered = RENDERER.render(text)

    assert rendered.text == text
    assert "duplicate-key" in {finding.code for finding in rendered.findings} or not rendered.pods


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(POD + "  replicas: {{ .Values.n }}\n", id="braces read as a mapping"),
        pytest.param(POD + "{{- if .Values.x }}\n  a: b\n{{- end }}\n", id="blocks"),
    ],
)
def test_a_template_is_left_alone_and_the_rest_is_rendered(text: str) -> None:
    rendered = RENDERER.render(text + "---\n" + POD, name="chart.yaml")

    assert rendered.text == text + "---\n" + RENDERER.render(POD).text
    assert [finding.code for finding in rendered.findings] == ["templated-document"]
    assert rendered.findings[0].where.startswith("chart.yaml:")


def test_one_broken_document_without_images_does_not_spoil_the_others() -> None:
    text = "kind: ConfigMap\n\tbroken\n---\n" + POD

    assert RENDERER.render(text).text == "kind: ConfigMap\n\tbroken\n---\n" + RENDERER.render(POD).text
