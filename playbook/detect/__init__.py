"""What happened in a shop: incidents found in its tables, with a day, a size and a check."""
