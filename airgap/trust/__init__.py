"""Keys and signatures, and the host's decisions about them."""
