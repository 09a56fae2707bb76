"""Run folders: their names and files, exclusive claims of them, and the records in them."""
