"""The AtomEvent codec: FlatBuffers encode, decode, verify and scan; JSON Lines."""
