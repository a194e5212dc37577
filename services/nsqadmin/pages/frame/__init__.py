"""What every page is made from, and how it becomes HTML."""
