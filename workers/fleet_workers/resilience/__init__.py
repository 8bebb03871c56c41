"""Keeps one failing dependency from taking the rest along."""
