"""Replays dead letters: a plan first, then windows with read-back; 0 lost, 0 duplicates, and counted at the end."""
