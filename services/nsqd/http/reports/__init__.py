"""Endpoints that tell what there is: /stats and /metrics."""
