"""Run folders: who works in one, what it holds, and where it comes from."""
