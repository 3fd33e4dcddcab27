"""The isolated host's builds, done once on the workstation, on a network without a way out."""
