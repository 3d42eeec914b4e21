"""pytest plugin: archkit's test kits as fixtures.

pytest loads this module in every run of an environment that has archkit installed, so it imports nothing of archkit
by itself; a fixture loads its kit when a test asks for it.
"""
