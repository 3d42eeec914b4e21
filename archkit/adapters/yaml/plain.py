"""YAML as plain data with every scalar a text: for documents whose types the reader knows better than YAML does."""

from __future__ import annotations

from typing import Any


def load_texts(content: str) -> list[Any]:
    """The documents of a stream: dicts, lists, and texts (``true`` stays ``"true"``); empty documents are left out.

    Raises:
        ValueError: Not YAML; says where.
    """
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        return [document for document in yaml.load_all(content, Loader=loader) if document not in (None, "")]
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
