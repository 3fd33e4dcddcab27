"""The isolated host: preconditions, steps, probe."""
