"""Docker, BuildKit's containers and configuration, and builds with buildx."""
