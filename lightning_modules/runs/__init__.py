"""Run folders: their names and files, the right to work in one, and the record of what was done there."""
