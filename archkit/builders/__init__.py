"""Builder adapters, one per tool; they do not import each other."""
