"""Bus → batches → readings → store."""
