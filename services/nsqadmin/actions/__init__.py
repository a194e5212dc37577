"""Changes to the cluster: checked, done, logged, notified."""
