"""What the nsqds count: as tables, as rates, and live."""
