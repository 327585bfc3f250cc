"""Checkpoints: whole or not there, hashed, and what they hold."""
