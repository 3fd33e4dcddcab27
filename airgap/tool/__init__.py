"""The program for the isolated host: one file, `airgap.pyz`, with all that it needs."""
