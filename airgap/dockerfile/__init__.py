"""Dockerfiles and bake files: their stages, variables, and what a build of them needs."""
