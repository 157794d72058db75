"""Show results in a notebook: stems as arrays, stems as files, and players for them."""
