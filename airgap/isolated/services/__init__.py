"""What runs on the host, and how it is spoken to: containers, Docker, registries."""
