"""The keys of an experiment file, read from its models: docs/keys.md and the words of errors."""
