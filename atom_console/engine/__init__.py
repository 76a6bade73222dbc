"""Owner of every long-lived thread: commands in, snapshots out."""
