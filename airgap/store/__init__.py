"""The storage of mirror and recordings on disk: seed, read, verify, prune."""
