"""Recorded steps: see README.md here."""
