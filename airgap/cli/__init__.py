"""One file a verb: parses, calls one function, prints."""
