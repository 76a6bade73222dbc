"""The dead letter queue: record, store, capture, triage and replay."""
