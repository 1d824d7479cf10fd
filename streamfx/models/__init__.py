"""What the program knows beforehand: fetched models, checked by hash, and the shipped expression basis."""
