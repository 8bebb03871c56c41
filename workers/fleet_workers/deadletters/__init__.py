"""Dead letters: replayed, one by one or in bulk, rehearsed without effects, discarded."""
