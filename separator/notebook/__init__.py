"""Results that show themselves in a notebook: stems as arrays, stems as files, their players."""
