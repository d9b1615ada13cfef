"""What a card can do: its copy and matrix rate, each net against its bound, and faces per second end to end."""
