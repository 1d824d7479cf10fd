"""Everything between processes: how they are started and end, what they say, and what they share."""
