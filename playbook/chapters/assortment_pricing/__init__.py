"""10 Assortment and prices."""
