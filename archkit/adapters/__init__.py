"""The outside: one system per file or package, each behind a port."""
