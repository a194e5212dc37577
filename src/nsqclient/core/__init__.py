"""What all of the client stands on: errors, options, background tasks."""
