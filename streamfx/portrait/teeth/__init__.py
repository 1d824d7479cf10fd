"""The inside of the mouth: the teeth that photos show, and those drawn where none does."""
