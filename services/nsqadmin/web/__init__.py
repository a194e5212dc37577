"""The web application: requests, sessions, forms, events, static files."""
