"""The settings of a run: their schema, and the loader of YAML files with key=value overrides."""
