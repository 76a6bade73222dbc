"""The schema catalogue: FlatBuffers and Arrow schemas, trees, differences and verdicts."""
