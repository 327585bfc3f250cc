"""Mistakes that users make, each really made."""
