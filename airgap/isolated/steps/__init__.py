"""What install does, one file a step: check, apply, undo."""
