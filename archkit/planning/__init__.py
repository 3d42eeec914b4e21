"""Decisions: value in, value out. No clock, no files, no network, no processes."""
