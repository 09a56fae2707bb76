"""From the words of a command line and YAML files to the configuration of an experiment."""
