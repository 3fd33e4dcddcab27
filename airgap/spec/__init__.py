"""What people ask for: bundle specs."""
