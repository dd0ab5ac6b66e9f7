"""One forecast of the shop for all chapters: what is coming, part by part."""
