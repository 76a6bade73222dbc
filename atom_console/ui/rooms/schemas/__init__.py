"""The Schema room: what is there, what is in it, what changed, and whom it breaks."""
