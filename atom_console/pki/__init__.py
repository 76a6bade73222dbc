"""The certificate authority: issue, rotate, verify, explain, export."""
