"""What `--json` prints: types of their own, so that scripts do not depend on inner classes."""
