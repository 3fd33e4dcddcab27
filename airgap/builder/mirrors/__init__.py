"""The mirror's address in the configuration of engines: a file for each engine, all pure."""
