"""Judges of answers: who judges, what is asked, and what judgements come to."""
