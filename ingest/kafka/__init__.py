"""Records onto Kafka, and what lies there already."""
