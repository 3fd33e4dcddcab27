"""BuildKit's container and config, and buildx instances."""
