"""What ties a process to the world: bus, brokers, packages that may be missing."""
