"""Real tools side by side: how long bundle, verify and install take, and how much memory."""
