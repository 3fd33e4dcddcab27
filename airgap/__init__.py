"""Build container images for any platform on machines that have no network."""

__version__ = "0.1.0"
