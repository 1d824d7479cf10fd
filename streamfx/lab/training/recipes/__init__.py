"""One recipe a network: what it is shown, what it is asked for, and by which rates it learns."""
