"""What the processes of Mien promise each other: words, values, layouts, errors. No process imports another."""
