"""Faults on real Kafka, real Redis and the real worker: what is lost, duplicated or wrong afterwards."""
