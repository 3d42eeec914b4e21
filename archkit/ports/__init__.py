"""Protocols: what archkit needs of the outside, one per kind of system. Adapters fulfil them, tests fake them."""
