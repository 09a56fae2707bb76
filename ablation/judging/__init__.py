"""Judges of generated answers: the judges, their prompts, and the figures from their judgements."""
