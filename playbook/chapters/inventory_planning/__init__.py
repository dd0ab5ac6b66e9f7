"""07 Inventory planning: demand, supply, orders."""
