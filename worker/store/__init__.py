"""Where points are kept: one promise, two stores."""
