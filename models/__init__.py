"""The nets, how they run, and the weights that are shipped."""
