"""Dead letters: groups, records, one record."""
