"""The connected workstation: resolve, plan, fetch."""
