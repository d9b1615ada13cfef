"""What a researcher asks of values over time: pure functions over arrays, without store or clock."""
