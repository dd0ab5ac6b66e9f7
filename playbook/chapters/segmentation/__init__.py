"""06 Segments and membership."""
