"""Dialogs: help, themes, confirmation, forms."""
