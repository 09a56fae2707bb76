"""From command-line arguments and YAML files to the configuration of an experiment."""
