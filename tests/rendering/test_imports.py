"""What rendering loads, and what it must not."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from archkit import AffinityRenderer, BuiltImage, PlatformSet
renderer = AffinityRenderer(builds=[BuiltImage("web", "r.example/web:1", PlatformSet("linux/amd64"))], affinity="always")
rendered = renderer.render("apiVersion: v1\\nkind: Pod\\nspec:\\n  containers:\\n  - image: web\\n")
assert "nodeAffinity" in rendered.text
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules} & {"kubernetes", "urllib3", "msgspec", "ruamel", "python_on_whales"})))
"""


def test_rendering_loads_neither_kubernetes_nor_urllib3_nor_msgspec() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
