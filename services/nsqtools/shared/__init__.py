"""What several utilities share."""
