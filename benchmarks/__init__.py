"""Every budget, measured beside its baseline in one run."""
