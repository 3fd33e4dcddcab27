"""Facts of this machine and its users; knows nothing of what airgap keeps here."""
