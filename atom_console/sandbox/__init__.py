"""The embedded default: a mock Kafka cluster, a workload, scripted faults."""
