"""BuildKit's container and config, buildx's plugin and instances."""
