"""The carried thing: contents, tar framing, checksums, files."""
