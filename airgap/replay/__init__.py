"""What builds ask the network for: recorded on one side, answered from that on the other."""
