"""What builds download: recorded on a workstation, replayed where there is no network."""
