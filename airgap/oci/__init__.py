"""References, platforms, digests, manifests, registries."""
