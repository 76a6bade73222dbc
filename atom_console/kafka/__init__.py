"""The Kafka client: configuration, the publisher, delivery errors, cluster reads."""
