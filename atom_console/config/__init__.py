"""Typed settings, profiles and paths, each value with its origin."""
