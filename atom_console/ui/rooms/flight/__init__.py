"""The Flight room: what a server offers, what it looks like, and how fast it comes."""
