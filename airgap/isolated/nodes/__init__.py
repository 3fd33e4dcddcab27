"""Nodes of a builder: those of this host's builder, and this host as one of another's."""
