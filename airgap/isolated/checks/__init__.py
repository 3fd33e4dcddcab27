"""Looks at this host and changes nothing: used by install and doctor."""
