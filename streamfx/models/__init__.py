"""What was learned or measured elsewhere and is loaded here: model files by hash, the face mesh, the expression basis."""
