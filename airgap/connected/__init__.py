"""The connected workstation: resolve, plan, fetch, record, rehearse."""
