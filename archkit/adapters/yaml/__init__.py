"""YAML: the only importer of yaml and ruamel.yaml."""
