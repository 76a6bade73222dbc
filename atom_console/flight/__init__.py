"""The Arrow Flight client and the reference server."""
