"""Certificates: the inventory, and what can be done with it."""
