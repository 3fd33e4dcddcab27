"""Bundle specs, the lock and request files: what people ask for."""
