"""The public names: one list for the checkers, one for the interpreter, loaded on first use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import archkit

SOURCE = ast.parse(Path(archkit.__file__).read_text(encoding="utf-8"))


def seen_by_checkers() -> dict[str, str]:
    """Name and home module of every import under TYPE_CHECKING."""
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    for node in imports:
        for alias in node.names:
            assert alias.asname == alias.name, "only `import X as X` re-exports"
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_checkers_and_interpreter_see_the_same_names() -> None:
    assert seen_by_checkers() == vars(archkit)["_HOME"]


def test_all_and_dir_list_them() -> None:
    assert set(vars(archkit)["__all__"]) == set(seen_by_checkers())
    assert set(seen_by_checkers()) <= set(dir(archkit))


@pytest.mark.parametrize("name", sorted(seen_by_checkers()))
def test_every_name_resolves(name: str) -> None:
    value = getattr(archkit, name)
    home = getattr(value, "__module__", None)
    assert home is None or home in {seen_by_checkers()[name], "typing", "types"} or home.startswith(seen_by_checkers()[name])


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'archkit' has no attribute 'Platfrom'"):
        archkit.Platfrom  # type: ignore[attr-defined]  # noqa: B018


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running the code."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", timeout=120, check=True)
    return set(done.stdout.split())


RENDER = """
from archkit import AffinityRenderer
text = "kind: Pod\\napiVersion: v1\\nspec:\\n  containers:\\n  - image: web\\n"
assert "arm64" in AffinityRenderer(platforms={"web": "linux/arm64"}, affinity="always").render(text).text
"""

RECORDED = """
from archkit import ClusterInspector, Node
ClusterInspector.from_nodes([Node("a"), {"metadata": {"name": "b"}}]).inspect()
"""
CONNECTION = """
import os, tempfile
from archkit import ClusterConnection, ClusterInspector
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "config")
    with open(path, "w") as file:
        file.write("contexts: [{name: a, context: {cluster: b}}]\\nclusters: [{name: b, cluster: {server: 'https://b'}}]\\n")
    ClusterInspector(ClusterConnection.from_kubeconfig(path, context="a"))
"""


@pytest.mark.parametrize(
    ("code", "base", "kept_out"),
    [
        pytest.param("import archkit", "pass", {"archkit.errors", "attr", "json", "typing_extensions"}, id="nothing"),
        pytest.param(
            "from archkit import Platform, resolve_targets",
            "import attrs",
            {
                "difflib",
                "hashlib",
                "json",
                "kubernetes",
                "msgspec",
                "pathlib",
                "ruamel",
                "subprocess",
                "typing_extensions",
                "urllib3",
                "yaml",
            },
            id="deciding",
        ),
        pytest.param(RENDER, "import attrs", {"kubernetes", "msgspec", "python_on_whales", "urllib3"}, id="rendering"),
        pytest.param(RECORDED, "import attrs", {"kubernetes", "urllib3", "yaml"}, id="inspecting what was recorded"),
        pytest.param(CONNECTION, "import attrs", {"kubernetes", "urllib3"}, id="a connection that has not asked yet"),
        pytest.param(
            "import archkit.pytest_plugin",
            "import pytest",
            {"archkit.testing", "attr", "http.server", "kubernetes", "urllib3"},
            id="plugin",
        ),
    ],
)
def test_what_is_not_used_is_not_loaded(code: str, base: str, kept_out: set[str]) -> None:
    assert (loaded_by(code) - loaded_by(base)) & kept_out == set()
