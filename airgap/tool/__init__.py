"""`airgap.pyz`, the program for isolated hosts: one file with all that it needs."""
