"""Options: their declaration, flags, values, and how a run finds its settings."""
