"""Builds from recordings alone, on an isolated host or in a rehearsal on the workstation."""
