"""Endpoints that do something: publish, create, delete, empty, pause, policies."""
