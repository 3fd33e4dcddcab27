"""What tests, the demo and benchmarks share: real parts, an upstream, media, isolated hosts."""
