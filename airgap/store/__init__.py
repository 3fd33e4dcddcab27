"""The registry's storage on disk: seed, read, verify."""
