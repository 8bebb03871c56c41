"""Sets going what nobody holds."""
